/** The partitions of an image, and the image, from folders. Whatever a file system could take from here (times, owners, modes, the order of names) is set. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  lutimesSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { LightMambaError } from "../errors.ts";
import { packageRoot } from "../package.ts";
import type { StepOptions } from "./components.ts";
import { LABELS } from "./layout.ts";
import { MANIFEST } from "./manifest.ts";
import { runProgram } from "./programs.ts";

/** What the boot ROM looks for. */
export const BOOT_IMAGE = "BOOT.BIN";
/** What genimage.cfg puts into the first slot. */
export const SYSTEM_FILE = "system.squashfs";
/** 1 January 2024, as in firmware/system. */
const EPOCH = 1_704_067_200;
const DATA_UUID = "4c4d0002-0000-4000-8000-000000000000";
const DATA_HASH_SEED = "4c4d0003-0000-4000-8000-000000000000";
const BLOCK = 4096;
const MIB = 2 ** 20;
/** Beside a model twice, so that a new one can be written beside the old: states, and the file system's own. */
const DATA_ROOM = 16 * MIB;
const EMPTY_DATA = 8 * MIB;

interface Entry {
  /** From the folder on. */
  path: string;
  directory: boolean;
  bytes: number;
  /** Where a symbolic link leads. */
  link?: string;
}

/** Sets modes and times as everyone has them, whatever the umask was where the files come from. What is below, a folder before what is in it. */
function settle(folder: string, prefix = ""): Entry[] {
  const names = readdirSync(folder).sort();
  chmodSync(folder, 0o755);
  return names.flatMap((name) => {
    const [path, file] = [`${prefix}${name}`, join(folder, name)];
    const state = lstatSync(file);
    const [directory, runs] = [state.isDirectory(), (state.mode & 0o100) !== 0];
    if (state.isFile()) chmodSync(file, runs ? 0o755 : 0o644);
    const below = directory ? settle(file, `${path}/`) : [];
    lutimesSync(file, EPOCH, EPOCH);
    const link = state.isSymbolicLink() ? { link: readlinkSync(file) } : {};
    return [{ path, directory, bytes: directory ? 0 : state.size, ...link }, ...below];
  });
}

/** A system as a file, which is what a slot holds. */
export async function makeSystem(root: string, output: string, { signal, log }: StepOptions): Promise<void> {
  settle(root);
  const times = ["-all-time", String(EPOCH), "-mkfs-time", String(EPOCH)];
  const flags = ["-all-root", "-no-progress", "-quiet", "-comp", "zstd", ...times];
  // It refuses the variable beside these flags
  await runProgram("mksquashfs", [root, output, ...flags], { env: { SOURCE_DATE_EPOCH: undefined }, signal, log });
}

/** Not by mke2fs -d, which takes owners from here, and the order that names have on the disk here. */
export async function makeData(data: string, output: string, { signal, log }: StepOptions): Promise<void> {
  const entries = settle(data);
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const size = Math.ceil((bytes > 0 ? 2.1 * bytes + DATA_ROOM : EMPTY_DATA) / MIB) * MIB;
  const settings = ["-L", LABELS.data, "-U", DATA_UUID, "-E", `hash_seed=${DATA_HASH_SEED},root_owner=0:0`, "-m", "0"];
  const options = { env: { E2FSPROGS_FAKE_TIME: String(EPOCH) }, cwd: data, signal, log };
  const place = ["-b", String(BLOCK), output, String(size / BLOCK)];
  await runProgram("mke2fs", ["-q", "-t", "ext4", ...settings, ...place], options);
  const script = `${output}.debugfs`;
  writeFileSync(script, entries.map((entry) => `${debugfsLines(entry)}\n`).join(""));
  // It ends well, whatever happened
  const { stderr } = await runProgram("debugfs", ["-w", "-f", script, output], options);
  const complaint = stderr.split("\n").find((line) => line !== "" && !/^debugfs \d/.test(line));
  if (complaint !== undefined) throw new LightMambaError("bug", `debugfs: ${complaint}`);
}

function debugfsLines({ path, directory, link }: Entry): string {
  if (/["\n]/.test(path + (link ?? "")))
    throw new LightMambaError("unsupported", "a name that debugfs cannot take", { file: path });
  // Names only: what debugfs makes of paths depends on where it is
  const name = `"${basename(path)}"`;
  const make = directory
    ? `mkdir ${name}`
    : link === undefined
      ? `write "${path}" ${name}`
      : `symlink ${name} "${link}"`;
  return `cd "/${dirname(path)}"\n${make}`;
}

/** Makes `<stage>/output/sdcard.img` of what is in `<stage>/input`, by the layout of firmware/system. */
export async function makeImage(stage: string, { signal, log }: StepOptions): Promise<void> {
  const input = join(stage, "input");
  const more = [BOOT_IMAGE, MANIFEST].filter((name) => existsSync(join(input, name)));
  const bootImage = existsSync(join(input, BOOT_IMAGE)) ? lstatSync(join(input, BOOT_IMAGE)).size : 0;
  const layout = layoutFile()
    .replace(FILES, `files = { ${more.map((name) => `"${name}", `).join("")}$1 }`)
    // The same room is left, whatever the boot image takes
    .replace(BOOT_SIZE, (_, size) => `size = ${Number(size) + Math.ceil(bootImage / MIB)}M`)
    .replaceAll(SLOT_SIZE, (_, before, size) => `${before}${Math.max(Number(size), slotRoom(input))}M`);
  writeFileSync(join(stage, "genimage.cfg"), layout);
  settle(input);
  const folders = ["root", "input", "output", "tmp"].flatMap((name) => [`--${name}path`, join(stage, name)]);
  const env = { SOURCE_DATE_EPOCH: String(EPOCH) };
  await runProgram("genimage", ["--config", join(stage, "genimage.cfg"), ...folders], { env, signal, log });
}

const FILES = /files = \{ ([^}]*) \}/;
const BOOT_SIZE = /size = (\d+)M/;
const SLOT_SIZE = /(partition system-[ab] \{[^}]*size = )(\d+)M/g;

/** MiB of a slot, so that later systems may grow. */
function slotRoom(input: string): number {
  return Math.ceil((1.5 * lstatSync(join(input, SYSTEM_FILE)).size) / MIB);
}

function layoutFile(): string {
  return readFileSync(join(packageRoot(), "firmware/system/genimage.cfg"), "utf8");
}

/** Names in the boot partition, whatever the board. */
export function bootFiles(): string[] {
  return [...FILES.exec(layoutFile())![1]!.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
}
