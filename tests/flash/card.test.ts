/** A used card, written with the image's map of blocks, is as good as a new one, and boots. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { BLOCK, parseBmap } from "../../host/image/bmap.ts";
import { type PartitionName, readPartitions } from "../../host/image/layout.ts";
import { programEnvironment } from "../../host/image/programs.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { buildQemu, skipImages } from "../image/support.ts";
import { fakeDrive, MIB } from "./support.ts";

const folder = scratchFolder();
const IMAGE = join(folder, "sdcard.img");
const CARD = join(folder, "card");
const skip = skipImages() || withoutProgram("fsck.vfat") || withoutProgram("qemu-system-aarch64");

/** Exit code and words of a program that looks at a partition of the card. */
function examine(name: PartitionName, program: string, ...args: string[]): [status: number | null, said: string] {
  const { offset, size } = readPartitions(CARD).find((partition) => partition.name === name)!;
  const path = join(folder, name);
  writeFileSync(path, readFileSync(CARD).subarray(offset, offset + size));
  const { status, stdout, stderr } = spawnSync(program, [...args, path], {
    env: programEnvironment(),
    encoding: "latin1",
    maxBuffer: 64 * MIB,
  });
  return [status, stdout + stderr];
}

describe("a card full of something else", { skip, timeout: 900_000 }, () => {
  before(async () => {
    await buildQemu(IMAGE);
    const drives = join(folder, "drives.json");
    writeFileSync(drives, JSON.stringify([fakeDrive({ path: CARD, bytes: 256 * MIB })]));
    const main = join(import.meta.dirname, "child.ts");
    const { code, stderr } = await lightmamba([drives, IMAGE, "--drive", CARD, "--yes", "-q"], { main });
    assert.equal(code, 0, stderr);
  });

  it("gets fewer bytes than the image has", () => {
    const { imageBytes, ranges } = parseBmap(readFileSync(`${IMAGE}.bmap`, "utf8"), IMAGE);
    const bytes = ranges.reduce((sum, { first, last }) => sum + (last - first + 1) * BLOCK, 0);
    assert.equal(imageBytes, statSync(IMAGE).size);
    assert.ok(bytes < 0.8 * imageBytes, `${bytes} of ${imageBytes}`);
  });

  it("has whole file systems, with nothing of what was there before", () => {
    for (const [name, program, flags] of [
      ["boot", "fsck.vfat", ["-n"]],
      ["data", "e2fsck", ["-f", "-n"]],
    ] as const) {
      const [status, said] = examine(name, program, ...flags);
      assert.equal(status, 0, said);
      assert.doesNotMatch(said, /Reclaimed|fix/i);
    }
  });

  it("has a journal without the transactions of another life, which would be replayed after a power cut", () => {
    const [status, journal] = examine("data", "debugfs", "-R", "cat <8>");
    assert.equal(status, 0);
    const superblock = journal.indexOf("\xc0\x3b\x39\x98");
    assert.ok(superblock >= 0);
    assert.ok(!journal.includes("\xa5".repeat(16)));
  });

  it("has every file as it was written", async () => {
    copyFileSync(`${IMAGE}.manifest.json`, `${CARD}.manifest.json`);
    const { code, stderr } = await lightmamba(["image", "verify", CARD, "--board", "qemu"]);
    assert.equal(code, 0, stderr);
  });

  it("boots, and goes on with a text that looks like an option", async () => {
    const [text, ...rest] = ["-n is once upon a time", "--seed", "3", "-n", "4"];
    const expected = await lightmamba(["run", "-q", ...rest, "--", text!]);
    const { code, stdout, stderr } = await lightmamba([
      "image",
      "boot",
      CARD,
      "--device",
      "wasm",
      "--prompt",
      text!,
      ...rest,
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trimEnd(), expected.stdout.trimEnd());
  });
});
