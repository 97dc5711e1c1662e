/** Bundles of a system, which is taken from an image. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { readPartitions } from "../../host/image/layout.ts";
import { openBundle } from "../../host/update/read.ts";
import { lightmamba, succeed } from "../cli/lightmamba.ts";
import { scratchFolder } from "../firmware.ts";
import { makeCard, OWN, skipCards } from "../flash/cards.ts";
import { TINY } from "./support.ts";

const folder = scratchFolder();
const at = (name: string) => join(folder, name);
const [KEY, IMAGE, BUNDLE] = ["update.key", "sdcard.img", "all.lmb"].map(at) as [string, string, string];

const skip = skipCards();

function create(...args: string[]) {
  rmSync(BUNDLE, { force: true });
  return lightmamba(["bundle", "create", "--key", KEY, "-o", BUNDLE, "-q", ...args]);
}

describe("a bundle of a system", { skip }, () => {
  before(async () => {
    await succeed("bundle", "keygen", "-o", KEY);
    await makeCard(IMAGE);
  });

  it("has its file system as it is in the image, and the model for it", async () => {
    const { code, stdout, stderr } = await create("--system", IMAGE, "--model", TINY);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /all\.lmb: 5\.\d MB, system 0\.0\.0, model [0-9a-f]{16}, for qemu\n$/);
    const { file, head, files } = openBundle(BUNDLE);
    const { system, model } = head.manifest;
    assert.deepEqual({ ...system }, { version: "0.0.0", runtime: OWN, file: "system.squashfs" });
    assert.equal(model!.runtime, OWN);
    const { offset, size } = readPartitions(IMAGE).find(({ name }) => name === "system-a")!;
    const partition = readFileSync(IMAGE).subarray(offset, offset + size);
    const found = Buffer.from(file.read(files[0]!.offset, files[0]!.bytes));
    file.close();
    assert.ok(partition.subarray(0, found.length).equals(found));
    // What squashfs says that it uses, in whole blocks
    assert.equal(found.length, Math.ceil(Number(partition.readBigUInt64LE(40)) / 4096) * 4096);
    await succeed("bundle", "verify", BUNDLE, "--key", at("update.pub"));
  });

  it("alone has no model", async () => {
    assert.equal((await create("--system", IMAGE, "--title", "a test")).code, 0);
    const { file, head } = openBundle(BUNDLE);
    file.close();
    assert.deepEqual([head.manifest.title, head.manifest.model, head.manifest.files.length], ["a test", undefined, 1]);
  });

  const change = (offset: number, text: string | Buffer) => {
    const bytes = readFileSync(IMAGE);
    bytes.write(text.toString("latin1"), offset, "latin1");
    writeFileSync(at("other.img"), bytes);
  };
  const system = () => readPartitions(IMAGE).find(({ name }) => name === "system-a")!.offset;
  const refused: [name: string, make: () => unknown, args: string[], exit: keyof typeof EXIT, message: RegExp][] = [
    [
      "with another runtime than this program's",
      () => makeCard(at("other.img"), { runtimes: ["0".repeat(64), ""] }),
      ["--model", TINY],
      "verification",
      new RegExp(`the system has another runtime than this program, .* \\(expected ${OWN} for .*, found 0{16}\\)`),
    ],
    [
      "for another board",
      () => makeCard(at("other.img")),
      ["--board", "vck190"],
      "verification",
      /an image for another board \(expected vck190, found qemu\)/,
    ],
    [
      "for a board that nobody knows",
      () => makeCard(at("other.img"), { board: "zcu102" }),
      [],
      "usage",
      /--board: for which board/,
    ],
    [
      "that is not there",
      () => makeCard(at("other.img"), { runtimes: ["", ""] }),
      [],
      "badInput",
      /system-a: holds no system/,
    ],
    [
      "that is cut",
      () => change(system() + 40, Buffer.from([0, 0, 0, 1])),
      [],
      "badInput",
      /system-a: the system is cut \(expected at most 2097152 bytes, found \d+\)/,
    ],
    [
      "that cannot be read",
      () => change(system() + 64, "\xff".repeat(32)),
      [],
      "badInput",
      /the system cannot be read: unsquashfs/,
    ],
    [
      "without a runtime",
      () => makeCard(at("other.img"), { runtimes: ["x", ""] }),
      [],
      "badInput",
      /relaxed\.cwasm: the system has no runtime/,
    ],
  ];
  for (const [name, make, args, exit, message] of refused)
    it(`is not made of one ${name}`, async () => {
      await make();
      const { code, stderr } = await create("--system", at("other.img"), ...args);
      assert.match(stderr, message);
      assert.deepEqual([code, existsSync(BUNDLE)], [EXIT[exit], false]);
    });
});
