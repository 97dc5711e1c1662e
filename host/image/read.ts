/** Files in the partitions of an image, without mounting it: mtools, unsquashfs and debugfs read what is there. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LightMambaError } from "../errors.ts";
import { imageBytes, type Partition } from "./layout.ts";
import { type FileHash, hashesBelow } from "./manifest.ts";
import { runProgram } from "./programs.ts";

/** Unpacks a partition into a folder; `badInput` where its file system cannot be read. */
export async function unpack(image: string, partition: Partition, into: string, signal?: AbortSignal): Promise<void> {
  mkdirSync(into, { recursive: true });
  try {
    await READERS[partition.name](image, partition, into, signal);
  } catch (error) {
    if (!(error instanceof LightMambaError) || error.exit !== "bug") throw error;
    throw new LightMambaError("verification", `cannot be read: ${error.message}`, {
      file: image,
      field: partition.name,
    });
  }
}

type Reader = (image: string, partition: Partition, into: string, signal?: AbortSignal) => Promise<void>;

const READERS: Record<Partition["name"], Reader> = {
  boot: async (image, { offset }, into, signal) => {
    await runProgram("mcopy", ["-s", "-n", "-i", `${image}@@${offset}`, "::*", into], { signal });
  },
  root: async (image, { offset }, into, signal) => {
    const flags = ["-no-progress", "-quiet", "-no-xattrs", "-force", "-offset", String(offset)];
    await runProgram("unsquashfs", [...flags, "-dest", into, image], { signal });
  },
  data: async (image, { offset, size }, into, signal) => {
    const folder = mkdtempSync(join(tmpdir(), "lightmamba-data-"));
    try {
      // debugfs takes no offset
      const part = join(folder, "data.ext4");
      const blocks = ["bs=64K", "iflag=skip_bytes,count_bytes", `skip=${offset}`, `count=${size}`, "conv=sparse"];
      await runProgram("dd", [`if=${image}`, `of=${part}`, "status=none", ...blocks], { signal });
      if (imageBytes(part) < size) await runProgram("truncate", ["-s", String(size), part], { signal });
      await runProgram("e2fsck", ["-f", "-n", part], { signal });
      await runProgram("debugfs", ["-R", `rdump / "${into}"`, part], { signal });
      rmSync(join(into, "lost+found"), { recursive: true, force: true });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** `action` on the unpacked partitions; files have the paths of the manifest. */
export async function withFiles<T>(
  image: string,
  partitions: readonly Partition[],
  action: (files: FileHash[], read: (path: string) => string | undefined) => T,
  signal?: AbortSignal,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-image-"));
  try {
    for (const partition of partitions) await unpack(image, partition, join(folder, partition.name), signal);
    const files = partitions.flatMap(({ name }) =>
      hashesBelow(join(folder, name)).map((file) => ({ ...file, path: `${name}:${file.path}` })),
    );
    const read = (path: string) => {
      const [partition, name] = path.split(":", 2);
      return files.some((file) => file.path === path)
        ? readFileSync(join(folder, partition!, name!), "utf8")
        : undefined;
    };
    return action(files, read);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
