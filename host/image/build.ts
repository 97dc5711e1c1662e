/**
 * An SD card's image: boot partition, a system in the first of two slots, data. What is in it comes from firmware/system (U-Boot, kernel, root),
 * firmware/runner (the program) and a model directory. Same inputs, same bytes. docs/boot.md.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import { stageData } from "../board/data.ts";
import { fileSha256 } from "../checkpoint/sha256.ts";
import { LightMambaError } from "../errors.ts";
import { packageVersion } from "../package.ts";
import { readPublicKeys } from "../update/keys.ts";
import { BLOCK, describeBlocks, type Extent, formatBmap } from "./bmap.ts";
import { buildRunner, buildSystem, type Component, type RunnerFiles, type StepOptions } from "./components.ts";
import { freeExtents } from "./ext4.ts";
import { type PartitionName, readPartitions } from "./layout.ts";
import { type FileHash, formatManifest, hashesBelow, MANIFEST, type Manifest } from "./manifest.ts";
import { BOOT_IMAGE, bootFiles, makeData, makeImage, makeSystem, SYSTEM_FILE } from "./partitions.ts";
import { checkPdi, packBootImage } from "./pdi.ts";
import { isProgramFailure } from "./programs.ts";
import { checkOutput, withScratch } from "./scratch.ts";
import { stageSystem } from "./system.ts";

export const IMAGE_BOARDS = ["vck190", "qemu"] as const;
export type ImageBoard = (typeof IMAGE_BOARDS)[number];

export interface ImageOptions extends StepOptions {
  board: ImageBoard;
  /** None: the data partition is empty, and a model can be brought later. */
  model?: string;
  /** A BOOT.BIN to take as it is, or the PDI from Vivado to make one with. */
  bootBin?: string;
  basePdi?: string;
  /** Public keys, whose bundles the system takes. None: it takes none. */
  updateKey?: string;
}

export interface BuiltImage {
  image: string;
  bytes: number;
  sha256: string;
  /** Whether the board can start from it. */
  boots: boolean;
  manifest: Manifest;
}

/** What genimage makes, from the folder for what is under way. */
const MADE = "output/sdcard.img";

/** Writes `output`, and beside it .bmap, .sha256 and .manifest.json; where a program fails, .log has what all of them said. */
export async function buildImage(output: string, options: ImageOptions): Promise<BuiltImage> {
  checkOutput(output, ": an image is written to a file, a card by flash");
  const { board, bootBin, basePdi, updateKey, say } = options;
  if (updateKey !== undefined) readPublicKeys(updateKey);
  for (const pdi of [bootBin, basePdi]) if (pdi !== undefined) await checkPdi(pdi, options);
  const system = await buildSystem(board, options);
  const runner = await buildRunner(options);
  const assemble = async (stage: string): Promise<BuiltImage> => {
    const step = { ...options, log: join(stage, "log") };
    const [root, data, input] = ["root", "data", "input"].map((name) => join(stage, name));
    say?.("system and data");
    stageSystem(root!, system.folder, runner, updateKey);
    stageData(data!, options.model, { board });
    await stageBoot(input!, system.folder, step);
    await makeSystem(root!, join(input!, SYSTEM_FILE), step);
    await makeData(data!, join(input!, "data.ext4"), step);
    const manifest = describe(stage, options, system.folder, runner);
    writeFileSync(join(input!, MANIFEST), formatManifest(manifest));
    say?.("image");
    await makeImage(stage, step);
    say?.("checksums");
    return finish(stage, output, manifest, await unusedExtents(stage, step));
  };
  return withScratch((stage) => keepingLog(stage, output, () => assemble(stage)), `${resolve(output)}.`);
}

async function keepingLog<T>(stage: string, output: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const log = join(stage, "log");
    if (!isProgramFailure(error) || !existsSync(log)) throw error;
    renameSync(log, `${output}.log`);
    const detail = { hint: `${output}.log has all that the programs said` };
    throw new LightMambaError(error.exit, error.message, detail);
  }
}

// ------------------------------------------------------------------------------------------------ what is in it

/** Files of the boot partition; QEMU needs no BOOT.BIN. */
async function stageBoot(
  input: string,
  system: string,
  { bootBin, basePdi, ...step }: ImageOptions & StepOptions,
): Promise<void> {
  for (const name of bootFiles()) {
    mkdirSync(input, { recursive: true });
    copyFileSync(join(system, name), join(input, name));
  }
  const bootImage = join(input, BOOT_IMAGE);
  if (bootBin !== undefined) copyFileSync(bootBin, bootImage);
  if (basePdi !== undefined) await packBootImage(basePdi, system, bootImage, step);
}

// ------------------------------------------------------------------------------------------------ what is said of it

function describe(stage: string, options: ImageOptions, system: string, runner: RunnerFiles): Manifest {
  const others = JSON.parse(readFileSync(join(system, "components.json"), "utf8")) as Component[];
  const partition = (folder: string, name: PartitionName) => hashesBelow(join(stage, folder), `${name}:`);
  const boot = partition("input", "boot").filter(({ path }) => !/^boot:(system\.squashfs|data\.ext4\S*)$/.test(path));
  return {
    format: "lightmamba-image",
    version: 1,
    generator: `lightmamba ${packageVersion()}`,
    board: options.board,
    components: [...others, ...runner.components, ...components(boot, options)],
    files: [...boot, ...partition("root", "system-a"), ...partition("data", "data")],
  };
}

/** What the user brought; whose it is, only they know. */
function components(boot: FileHash[], { bootBin, basePdi }: ImageOptions): Component[] {
  const pdi = bootBin ?? basePdi;
  if (pdi === undefined) return [];
  const sha256 = bootBin ? boot.find(({ path }) => path === `boot:${BOOT_IMAGE}`)!.sha256 : fileSha256(pdi);
  const name = bootBin ? "boot image of the user" : "base PDI of the user";
  return [{ name, version: "", licence: "NOASSERTION", source: basename(pdi), files: [BOOT_IMAGE], sha256 }];
}

/** What nobody has: the slots behind their systems, but for the first block of the second, which says that it holds none; free blocks of the data. */
async function unusedExtents(stage: string, step: StepOptions): Promise<Extent[]> {
  const [, first, second, data] = readPartitions(join(stage, MADE));
  const systemBytes = BLOCK * Math.ceil(statSync(join(stage, "input", SYSTEM_FILE)).size / BLOCK);
  const free = await freeExtents(join(stage, "input/data.ext4"), step);
  return [
    { offset: first!.offset + systemBytes, bytes: first!.size - systemBytes },
    { offset: second!.offset + BLOCK, bytes: second!.size - BLOCK },
    ...free.map(({ offset, bytes }) => ({ offset: data!.offset + offset, bytes })),
  ];
}

function finish(stage: string, output: string, manifest: Manifest, unused: readonly Extent[]): BuiltImage {
  const made = join(stage, MADE);
  const sha256 = fileSha256(made);
  const beside: [suffix: string, text: string][] = [
    [".bmap", formatBmap(describeBlocks(made, unused))],
    [".sha256", `${sha256}  ${basename(output)}\n`],
    [".manifest.json", formatManifest(manifest)],
  ];
  for (const [suffix, text] of beside) writeFileSync(join(stage, `side${suffix}`), text);
  for (const [suffix] of beside) renameSync(join(stage, `side${suffix}`), `${output}${suffix}`);
  renameSync(made, output);
  rmSync(`${output}.log`, { force: true });
  const boots = manifest.board === "qemu" || existsSync(join(stage, "input", BOOT_IMAGE));
  return { image: output, bytes: statSync(output).size, sha256, boots, manifest };
}
