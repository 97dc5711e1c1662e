/** Images to test with. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../cli/lightmamba.ts";
import { build, withoutProgram } from "../firmware.ts";

/** Why no image can be built here, if so: for the option `skip`. Builds what is in one, which takes minutes once. */
export function skipImages(): string | false {
  return (
    build("firmware/system/build.mjs", "--board", "qemu").skip ||
    build("firmware/runner/build.mjs", "--target", "aarch64").skip ||
    withoutProgram("genimage") ||
    withoutProgram("mcopy") ||
    withoutProgram("debugfs", "-V")
  );
}

export async function buildQemu(path: string, ...args: string[]): Promise<void> {
  await succeed("image", "build", "--board", "qemu", "-o", path, ...args);
}

const BESIDE = ["", ".bmap", ".sha256", ".manifest.json"];

/** With what lies beside it. */
export function copyImage(from: string, to: string): void {
  for (const suffix of BESIDE) {
    const { status, stderr } = spawnSync("cp", ["--sparse=always", `${from}${suffix}`, `${to}${suffix}`]);
    assert.equal(status, 0, String(stderr));
  }
}

export function removeImage(path: string): void {
  for (const suffix of BESIDE) rmSync(`${path}${suffix}`, { force: true });
}

/** What bootgen makes of a program that is none: a PDI by its headers, of the part with this IDCODE. */
export function makePdi(folder: string, idCode: string): string {
  const elf = Buffer.alloc(84 + 4096, 0x55);
  elf.write("\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0", 0, "latin1");
  const header = [2, 189].flatMap((half) => [half & 255, half >> 8]);
  elf.set(header, 16);
  const words = [1, 0xf0200000, 52, 0, 0];
  for (const [i, word] of words.entries()) elf.writeUInt32LE(word, 20 + 4 * i);
  for (const [i, half] of [52, 32, 1, 0, 0, 0].entries()) elf.writeUInt16LE(half, 40 + 2 * i);
  for (const [i, word] of [1, 84, 0xf0200000, 0xf0200000, 4096, 4096, 5, 4].entries())
    elf.writeUInt32LE(word, 52 + 4 * i);
  writeFileSync(join(folder, "plm.elf"), elf);
  writeFileSync(
    join(folder, "base.bif"),
    `all: { id_code = ${idCode} extended_id_code = 0x01 id = 0x2
      image { name = pmc_subsys, id = 0x1c000001 { type = bootloader, file = ${folder}/plm.elf } } }`,
  );
  const path = join(folder, `${idCode}.pdi`);
  const args = ["-arch", "versal", "-image", join(folder, "base.bif"), "-w", "-o", path];
  const { status, stdout, stderr } = spawnSync("bootgen", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`bootgen: ${stdout}${stderr}`);
  return path;
}
