/** Files in the partitions of an image, without mounting it: mtools, unsquashfs and debugfs read what is there. */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LightMambaError } from "../errors.ts";
import { type Partition, readFileSystem } from "./layout.ts";
import { type FileHash, hashesBelow, MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { isProgramFailure, runProgram } from "./programs.ts";
import { withScratch } from "./scratch.ts";

type Reader = (image: string, partition: Partition, into: string, signal?: AbortSignal) => Promise<void>;

const readSystem: Reader = async (image, { offset }, into, signal) => {
  const flags = ["-no-progress", "-quiet", "-no-xattrs", "-force", "-offset", String(offset)];
  await runProgram("unsquashfs", [...flags, "-dest", into, image], { signal });
};

const READERS: Record<Partition["name"], Reader> = {
  boot: async (image, { offset }, into, signal) => {
    await runProgram("mcopy", ["-s", "-n", "-i", `${image}@@${offset}`, "::*", into], { signal });
  },
  "system-a": readSystem,
  // A new card has one system
  "system-b": async (image, partition, into, signal) => {
    if (readFileSystem(image, partition) !== undefined) await readSystem(image, partition, into, signal);
  },
  data: async (image, { offset }, into, signal) => {
    const fd = openSync(image, "r");
    try {
      // The image's own name may hold a question mark
      const part = `/proc/self/fd/3?offset=${offset}`;
      await runProgram("e2fsck", ["-f", "-n", part], { signal, fd });
      await runProgram("debugfs", ["-R", `rdump / "${into}"`, part], { signal, fd });
      rmSync(join(into, "lost+found"), { recursive: true, force: true });
    } finally {
      closeSync(fd);
    }
  },
};

/** Unpacks a partition into a folder; `verification` where its file system cannot be read. */
async function unpack(image: string, partition: Partition, into: string, signal?: AbortSignal): Promise<void> {
  mkdirSync(into, { recursive: true });
  try {
    await READERS[partition.name](image, partition, into, signal);
  } catch (error) {
    throw unreadable(error, image, partition.name);
  }
}

function unreadable(error: unknown, image: string, field: string): unknown {
  if (!isProgramFailure(error)) return error;
  return new LightMambaError("verification", `cannot be read: ${error.message}`, { file: image, field });
}

/** `action` on the unpacked partitions; files have the paths of the manifest. */
export function withFiles<T>(
  image: string,
  partitions: readonly Partition[],
  action: (files: FileHash[], read: (path: string) => string | undefined) => T,
  signal?: AbortSignal,
): Promise<T> {
  return withScratch(async (folder) => {
    for (const partition of partitions) await unpack(image, partition, join(folder, partition.name), signal);
    const files = partitions.flatMap(({ name }) => hashesBelow(join(folder, name), `${name}:`));
    const read = (path: string) => {
      const [partition, name] = path.split(":", 2);
      // Nobody goes where a link of an image leads
      return files.some((file) => file.path === path && file.link === undefined)
        ? readFileSync(join(folder, partition!, name!), "utf8")
        : undefined;
    };
    return action(files, read);
  });
}

/** The manifest alone, which takes no time. */
export async function readManifest(image: string, boot: Partition, signal?: AbortSignal): Promise<Manifest> {
  const where = { file: image, field: `boot:${MANIFEST}` };
  try {
    const { stdout } = await runProgram("mtype", ["-i", `${image}@@${boot.offset}`, `::${MANIFEST}`], { signal });
    return parseManifest(stdout, where);
  } catch (error) {
    throw unreadable(error, image, where.field);
  }
}
