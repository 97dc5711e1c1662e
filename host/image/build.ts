/**
 * An SD card's image: boot partition, root, data. What is in it comes from firmware/system (U-Boot, kernel, root), firmware/runner (the program) and
 * a model directory. Same inputs, same bytes. docs/boot.md.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { prepareBoardModel } from "../board/prepare.ts";
import { fileSha256 } from "../checkpoint/sha256.ts";
import { LightMambaError } from "../errors.ts";
import { packageRoot, packageVersion } from "../package.ts";
import { describeBlocks, formatBmap } from "./bmap.ts";
import { buildRunner, buildSystem, type Component, type RunnerFiles, type StepOptions } from "./components.ts";
import { type FileHash, formatManifest, hashesBelow, type Manifest } from "./manifest.ts";
import { checkPdi, packBootImage } from "./pdi.ts";
import { runProgram } from "./programs.ts";

export const IMAGE_BOARDS = ["vck190", "qemu"] as const;
export type ImageBoard = (typeof IMAGE_BOARDS)[number];

export interface ImageOptions extends StepOptions {
  board: ImageBoard;
  /** None: the data partition is empty, and a model can be brought later. */
  model?: string;
  /** A BOOT.BIN to take as it is, or the PDI from Vivado to make one with. */
  bootBin?: string;
  basePdi?: string;
}

export interface BuiltImage {
  image: string;
  bytes: number;
  sha256: string;
  /** Whether the board can start from it. */
  boots: boolean;
  manifest: Manifest;
}

/** 1 January 2024, as in firmware/system: what needs a time gets this one. */
const EPOCH = "1704067200";
const DATA_UUID = "4c4d0002-0000-4000-8000-000000000000";
const DATA_HASH_SEED = "4c4d0003-0000-4000-8000-000000000000";
const TIMES = ["atime", "ctime", "mtime", "crtime"].flatMap((field) => [
  [field, `@${EPOCH}`],
  [`${field}_extra`, "0"],
]);
const MIB = 2 ** 20;
/** Beside a model twice, so that a new one can be written beside the old: states, and the file system's own. */
const DATA_ROOM = 16 * MIB;
const EMPTY_DATA = 4 * MIB;

/** Writes `output`, and beside it .bmap, .sha256 and .manifest.json. */
export async function buildImage(output: string, options: ImageOptions): Promise<BuiltImage> {
  checkOutput(output);
  const { board, bootBin, basePdi } = options;
  for (const pdi of [bootBin, basePdi]) if (pdi !== undefined) await checkPdi(pdi, options);
  const system = await buildSystem(board, options);
  const runner = await buildRunner(options);
  const stage = mkdtempSync(`${resolve(output)}.`);
  try {
    options.say?.("root and data");
    stageRoot(join(stage, "root"), system.folder, runner);
    stageData(join(stage, "data"), options);
    mkdirSync(join(stage, "input"));
    const boots = await stageBoot(join(stage, "input"), system.folder, options);
    await makeRoot(stage, options);
    await makeData(stage, options);
    const manifest = describe(stage, options, system.folder, runner);
    options.say?.("image");
    await makeImage(stage, boots, options);
    return finish(stage, output, boots, manifest, options);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

function checkOutput(output: string): void {
  if (!existsSync(dirname(resolve(output))))
    throw new LightMambaError("usage", "no such folder", { file: dirname(resolve(output)) });
  if (existsSync(output) && !statSync(output).isFile())
    throw new LightMambaError("usage", "is there, and no file: an image is written to a file, a card by flash", {
      file: output,
    });
}

// ------------------------------------------------------------------------------------------------ what is in it

function stageRoot(root: string, system: string, { runner, cwasm }: RunnerFiles): void {
  cpSync(join(system, "overlay"), root, { recursive: true, verbatimSymlinks: true });
  const into = (from: string, to: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
    chmodSync(join(root, to), mode);
  };
  into(join(system, "busybox"), "bin/busybox", 0o755);
  cpSync(join(system, "modules"), join(root, "lib/modules"), { recursive: true });
  into(runner, "usr/bin/lightmamba", 0o755);
  for (const file of Object.values(cwasm)) into(file, join("usr/lib/lightmamba", basename(file)));
}

function stageData(data: string, { model, board }: ImageOptions): void {
  mkdirSync(join(data, "states"), { recursive: true });
  if (model !== undefined) prepareBoardModel(model, join(data, "model"), { board });
}

/** Files of the boot partition; whether BOOT.BIN is among them. QEMU needs none. */
async function stageBoot(input: string, system: string, options: ImageOptions): Promise<boolean> {
  for (const name of bootFiles()) {
    const to = join(input, name === "extlinux" ? "extlinux/extlinux.conf" : name);
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(join(system, basename(to)), to);
  }
  const { bootBin, basePdi, board } = options;
  if (bootBin !== undefined) copyFileSync(bootBin, join(input, "BOOT.BIN"));
  if (basePdi !== undefined) await packBootImage(basePdi, system, join(input, "BOOT.BIN"), options);
  return bootBin !== undefined || basePdi !== undefined || board === "qemu";
}

function layoutFile(): string {
  return readFileSync(join(packageRoot(), "firmware/system/genimage.cfg"), "utf8");
}

const FILES = /files = \{ ([^}]*) \}/;

function bootFiles(): string[] {
  return [...FILES.exec(layoutFile())![1]!.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
}

// ------------------------------------------------------------------------------------------------ partitions

async function makeRoot(stage: string, { signal }: StepOptions): Promise<void> {
  const flags = ["-all-root", "-no-progress", "-quiet", "-comp", "zstd", "-all-time", EPOCH, "-mkfs-time", EPOCH];
  const env = { SOURCE_DATE_EPOCH: undefined };
  await runProgram("mksquashfs", [join(stage, "root"), join(stage, "input/root.squashfs"), ...flags], { env, signal });
}

async function makeData(stage: string, { signal }: StepOptions): Promise<void> {
  const data = join(stage, "data");
  const bytes = hashesBelow(data).reduce((sum, file) => sum + file.bytes, 0);
  const size = bytes === 0 ? EMPTY_DATA : Math.ceil((2.1 * bytes + DATA_ROOM) / MIB) * MIB;
  const extended = ["-U", DATA_UUID, "-E", `hash_seed=${DATA_HASH_SEED},root_owner=0:0`];
  const args = [
    "-q",
    "-t",
    "ext4",
    "-L",
    "lm-data",
    "-d",
    data,
    ...extended,
    join(stage, "input/data.ext4"),
    `${size / 1024}k`,
  ];
  const env = { SOURCE_DATE_EPOCH: EPOCH, E2FSPROGS_FAKE_TIME: EPOCH };
  await runProgram("mke2fs", args, { env, signal });
  // It keeps the times of what it copies, and nobody can set all of those of a file that is there
  const paths = ["", ...readdirSync(data, { recursive: true }).map(String)].sort();
  const script = join(stage, "times");
  writeFileSync(
    script,
    paths.flatMap((path) => TIMES.map(([field, value]) => `sif "/${path}" ${field} ${value}\n`)).join(""),
  );
  await runProgram("debugfs", ["-w", "-f", script, join(stage, "input/data.ext4")], { env, signal });
}

async function makeImage(stage: string, boots: boolean, { signal }: StepOptions): Promise<void> {
  const withBoot = existsSync(join(stage, "input/BOOT.BIN")) && boots;
  const layout = withBoot ? layoutFile().replace(FILES, 'files = { "BOOT.BIN", $1 }') : layoutFile();
  writeFileSync(join(stage, "genimage.cfg"), layout);
  await touchAll(join(stage, "input"), signal);
  const folders = ["root", "input", "output", "tmp"].flatMap((name) => [`--${name}path`, join(stage, name)]);
  await runProgram("genimage", ["--config", join(stage, "genimage.cfg"), ...folders], {
    env: { SOURCE_DATE_EPOCH: EPOCH },
    signal,
  });
}

/** FAT keeps the files' times. */
async function touchAll(folder: string, signal: AbortSignal | undefined): Promise<void> {
  await runProgram("find", [folder, "-exec", "touch", "-h", "-d", `@${EPOCH}`, "{}", "+"], { signal });
}

// ------------------------------------------------------------------------------------------------ what is said of it

function describe(stage: string, { board }: ImageOptions, system: string, runner: RunnerFiles): Manifest {
  const others = JSON.parse(readFileSync(join(system, "components.json"), "utf8")) as Component[];
  const below = (folder: string, prefix: string): FileHash[] =>
    hashesBelow(join(stage, folder)).map((file) => ({ ...file, path: `${prefix}${file.path}` }));
  const boot = below("input", "boot:").filter(({ path }) => !/^boot:(root\.squashfs|data\.ext4)$/.test(path));
  return {
    format: "lightmamba-image",
    version: 1,
    generator: `lightmamba ${packageVersion()}`,
    board,
    components: [...others, ...runner.components],
    files: [...boot, ...below("root", "root:"), ...below("data", "data:")],
  };
}

function finish(stage: string, output: string, boots: boolean, manifest: Manifest, options: StepOptions): BuiltImage {
  const made = join(stage, "output/sdcard.img");
  options.say?.("checksums");
  const sha256 = fileSha256(made);
  const beside: [suffix: string, text: string][] = [
    [".bmap", formatBmap(describeBlocks(made))],
    [".sha256", `${sha256}  ${basename(output)}\n`],
    [".manifest.json", formatManifest(manifest)],
  ];
  for (const [suffix, text] of beside) writeFileSync(join(stage, `side${suffix}`), text);
  for (const [suffix] of beside) renameSync(join(stage, `side${suffix}`), `${output}${suffix}`);
  renameSync(made, output);
  return { image: output, bytes: statSync(output).size, sha256, boots, manifest };
}
