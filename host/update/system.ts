/** A system, as an image or a card has it: one squashfs, and the runtime that its program was built with. */
import { join } from "node:path";
import { SHORT_HASH, shortHash } from "../board/data.ts";
import { badInput } from "../errors.ts";
import { imageBytes, type Partition, readAt, readPartitions } from "../image/layout.ts";
import { isProgramFailure, runProgram } from "../image/programs.ts";
import { readManifest } from "../image/read.ts";
import { withScratch } from "../image/scratch.ts";
import { aligned } from "./header.ts";

export interface ImageSystem {
  board: string;
  version: string;
  runtime: string;
  /** Where its file system lies in the image. */
  offset: number;
  bytes: number;
}

/** A system's program takes models of the runtime in here. firmware/runner/cwasm */
const COMPILED = "usr/lib/lightmamba/relaxed.cwasm";
const COMPILED_MAGIC = "LMCWASM1";
const COMPILED_START = 12;
/** Of squashfs' superblock. */
const MAGIC = "hsqs";
const BYTES_USED = 40;
const SUPERBLOCK = 96;

/** Of an image that `image build` made: the system that boots first. */
export async function systemOfImage(image: string, signal?: AbortSignal): Promise<ImageSystem> {
  const partitions = readPartitions(image);
  const named = (name: Partition["name"]) => partitions.find((one) => one.name === name)!;
  const { board, generator } = await readManifest(image, named("boot"), signal);
  const system = named("system-a");
  const bytes = systemBytes(image, system);
  const runtime = await runtimeOfSystem(image, system.offset, signal);
  return { board, version: generator.replace(/^lightmamba /, ""), runtime, offset: system.offset, bytes };
}

/** Its file system alone: the partition has room for a larger one. */
function systemBytes(image: string, { name: field, offset, size }: Partition): number {
  const superblock = readAt(image, offset, SUPERBLOCK);
  const magic = superblock.toString("latin1", 0, MAGIC.length);
  if (magic !== MAGIC) throw badInput("holds no system", { file: image, field, expected: MAGIC, found: magic });
  const bytes = aligned(Number(superblock.readBigUInt64LE(BYTES_USED)));
  if (bytes > SUPERBLOCK && bytes <= size && offset + bytes <= imageBytes(image)) return bytes;
  throw badInput("the system is cut", { file: image, field, expected: `at most ${size} bytes`, found: bytes });
}

/** The short hash of the runtime that a system was built with. */
export function runtimeOfSystem(path: string, offset: number, signal?: AbortSignal): Promise<string> {
  return withScratch(async (folder) => {
    const into = join(folder, "system");
    const flags = ["-no-progress", "-quiet", "-no-xattrs", "-offset", String(offset), "-dest", into];
    try {
      await runProgram("unsquashfs", [...flags, path, COMPILED], { signal });
    } catch (error) {
      if (!isProgramFailure(error)) throw error;
      throw badInput(`the system cannot be read: ${error.message}`, { file: path });
    }
    return runtimeOfCompiled(join(into, COMPILED), path);
  });
}

/** "LMCWASM1", u32 bytes of the header, the header in JSON, the code. */
function runtimeOfCompiled(compiled: string, file: string): string {
  try {
    const start = readAt(compiled, 0, COMPILED_START);
    if (start.toString("latin1", 0, 8) === COMPILED_MAGIC) {
      const header = readAt(compiled, COMPILED_START, start.readUInt32LE(8)).toString();
      const runtime = shortHash((JSON.parse(header) as { runtime_sha256: string }).runtime_sha256);
      if (SHORT_HASH.test(runtime)) return runtime;
    }
  } catch {
    // Not there, too short, no JSON: a system without a runtime that is known
  }
  throw badInput("the system has no runtime", { file, field: COMPILED });
}
