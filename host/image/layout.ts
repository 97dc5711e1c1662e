/** The card's layout: an MBR with four partitions, made by genimage from firmware/system/genimage.cfg. Nothing is trusted. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { badInput, LightMambaError } from "../errors.ts";

export const SECTOR = 512;
const TABLE = 446;
const ENTRY = 16;
/** "BMML" at 440: what Linux finds the root by. firmware/system/genimage.cfg */
const DISK_SIGNATURE = 0x4c4d4d42;

export type PartitionName = "boot" | "system-a" | "system-b" | "data";

export interface Partition {
  name: PartitionName;
  /** Bytes. */
  offset: number;
  size: number;
}

/** Of the file systems that have one. The board finds its data by it. */
export const LABELS = { boot: "LM-BOOT", data: "lm-data" } as const;

const EXPECTED: readonly [name: PartitionName, type: number][] = [
  ["boot", 0x0c],
  ["system-a", 0x83],
  ["system-b", 0x83],
  ["data", 0x83],
];

export function readAt(path: string, offset: number, bytes: number): Buffer {
  const fd = openImage(path);
  try {
    const buffer = Buffer.alloc(bytes);
    const count = readSync(fd, buffer, 0, bytes, offset);
    if (count === bytes) return buffer;
    throw badInput("the image is shorter than it says", {
      file: path,
      expected: offset + bytes,
      found: offset + count,
    });
  } finally {
    closeSync(fd);
  }
}

export function imageBytes(path: string): number {
  const fd = openImage(path);
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}

function openImage(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new LightMambaError("badInput", (error as Error).message, { file: path });
  }
}

/** The partitions of an image that is one of ours; `badInput` otherwise. */
export function readPartitions(path: string): Partition[] {
  const size = imageBytes(path);
  return parsePartitions(readAt(path, 0, Math.min(size, SECTOR)), size, path);
}

/** `sector` is the first of `size` bytes; `path` is for messages. */
export function parsePartitions(sector: Buffer, size: number, path: string): Partition[] {
  if (size < SECTOR)
    throw badInput("not an image: too short", { file: path, expected: `${SECTOR} bytes`, found: size });
  const signed = sector.readUInt16LE(510) === 0xaa55;
  if (!signed) throw badInput("not an image: no partition table", { file: path });
  const signature = sector.readUInt32LE(440);
  if (signature !== DISK_SIGNATURE) {
    const [expected, found] = [DISK_SIGNATURE, signature].map((value) => `0x${value.toString(16)}`);
    throw badInput("not one of our images", {
      file: path,
      field: "disk signature",
      expected: expected!,
      found: found!,
    });
  }
  let end = SECTOR;
  return EXPECTED.map(([name, type], i) => {
    const at = TABLE + i * ENTRY;
    const offset = sector.readUInt32LE(at + 8) * SECTOR;
    const bytes = sector.readUInt32LE(at + 12) * SECTOR;
    const field = `partition ${i + 1} (${name})`;
    if (sector[at + 4] !== type)
      throw badInput("wrong type", { file: path, field, expected: type, found: sector[at + 4]! });
    if (bytes === 0 || offset < end)
      throw badInput("overlaps what is before it, or is empty", {
        file: path,
        field,
        expected: `from ${end} on`,
        found: offset,
      });
    end = offset + bytes;
    if (end > size)
      throw badInput("reaches beyond the end of the image", { file: path, field, expected: end, found: size });
    return { name, offset, size: bytes };
  });
}

export interface FileSystem {
  kind: "FAT32" | "squashfs" | "ext4";
  /** A squashfs has none. */
  label?: string;
}

/** By magic numbers; undefined where they are not those of the kind that this partition has. */
export function readFileSystem(path: string, { name, offset }: Partition): FileSystem | undefined {
  const head = readAt(path, offset, 2048);
  const text = (at: number, bytes: number) => head.toString("latin1", at, at + bytes).replace(/[ \0]+$/, "");
  switch (name) {
    case "boot":
      return text(82, 8) === "FAT32" ? { kind: "FAT32", label: text(71, 11) } : undefined;
    case "system-a":
    case "system-b":
      return text(0, 4) === "hsqs" ? { kind: "squashfs" } : undefined;
    case "data":
      return head.readUInt16LE(0x438) === 0xef53 ? { kind: "ext4", label: text(0x478, 16) } : undefined;
  }
}
