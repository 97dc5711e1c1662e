/**
 * BOOT.BIN from the PDI that Vivado makes: checked, and packed with TF-A, U-Boot and the device tree by bootgen. Nothing of it was tried on a board.
 *
 * A Versal PDI begins with the boot header: SMAP bus width words, at 0x10 the width detection word, at 0x14 "XLNX" (UG1304, "Boot Header Format";
 * the same in bootgen's source).
 */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { badInput } from "../errors.ts";
import { imageBytes, readAt } from "./layout.ts";
import { isProgramFailure, type RunOptions, runProgram } from "./programs.ts";
import { withScratch } from "./scratch.ts";

const WIDTH_DETECTION = 0xaa995566;
const IDENTIFICATION = 0x584c4e58;
const HEADER = 0x1000;
/** Silicon revisions differ in the upper four bits of an IDCODE. XCVC1902, the VCK190's part. */
export const XCVC1902 = 0x04ca8093;
const REVISION = 0x0fffffff;

/** Throws where it is no PDI of this part. */
export async function checkPdi(path: string, options: RunOptions = {}): Promise<void> {
  const size = imageBytes(path);
  if (size < HEADER)
    throw badInput("not a PDI: too short", { file: path, expected: `at least ${HEADER} bytes`, found: size });
  const header = readAt(path, 0, 0x18);
  const words: [field: string, at: number, expected: number][] = [
    ["width detection", 0x10, WIDTH_DETECTION],
    ["identification", 0x14, IDENTIFICATION],
  ];
  for (const [field, at, expected] of words) {
    const found = header.readUInt32LE(at);
    if (found !== expected)
      throw badInput("not a PDI", { file: path, field, expected: hex(expected), found: hex(found) });
  }
  const found = idCode(await imageHeaderTable(path, options), path);
  if ((found & REVISION) !== (XCVC1902 & REVISION))
    throw badInput("a PDI of another device", {
      file: path,
      field: "IDCODE",
      expected: `${hex(XCVC1902)} (XCVC1902)`,
      found: hex(found),
    });
}

/** As text. Damaged ones may make bootgen crash. */
async function imageHeaderTable(path: string, options: RunOptions): Promise<string> {
  try {
    return (await runProgram("bootgen", ["-arch", "versal", "-read", path, "iht"], options)).stdout;
  } catch (error) {
    if (!isProgramFailure(error)) throw error;
    throw badInput(`not a PDI that bootgen can read: ${error.message}`, { file: path });
  }
}

/** From the text of `bootgen -read … iht`. */
export function idCode(text: string, path: string): number {
  const found = /\bid_code \(0x[0-9a-f]+\) : 0x([0-9a-f]{8})/.exec(text)?.[1];
  if (found === undefined) throw badInput("a PDI without a device id", { file: path });
  return Number.parseInt(found, 16);
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, "0")}`;
}

/** Of a PDI that was checked. firmware/system has bl31.elf, u-boot.elf and system.dtb, which U-Boot finds at 0x1000. */
export async function packBootImage(
  basePdi: string,
  system: string,
  output: string,
  options: RunOptions,
): Promise<void> {
  const args = ["-arch", "versal", "-image", "boot.bif", "-w", "-o", output];
  // By names that cannot be taken for bootgen's own language
  const files = [...APU_FILES.map((name) => [join(system, name), name]), [basePdi, "base.pdi"]];
  await withScratch(async (cwd) => {
    for (const [from, name] of files) copyFileSync(from!, join(cwd, name!));
    writeFileSync(join(cwd, "boot.bif"), BIF);
    await runProgram("bootgen", args, { ...options, cwd });
  });
  // With the part of what it was made from, or PLM refuses it
  await checkPdi(output, options);
}

const APU_FILES = ["system.dtb", "bl31.elf", "u-boot.elf"];
const BIF = `all:
{
  image { { type=bootimage, file=base.pdi } }
  image
  {
    id=0x1c000000, name=apu_subsystem
    { type=raw, load=0x00001000, file=system.dtb }
    { core=a72-0, exception_level=el-3, trustzone, file=bl31.elf }
    { core=a72-0, exception_level=el-2, file=u-boot.elf }
  }
}
`;
