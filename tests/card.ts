/** What tests know of a card by themselves: U-Boot's variables in their two copies, made by mkenvimage, and read from the format's definition. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

export const COPY_BYTES = 16384;
export const COPIES = [512 * 1024, 768 * 1024] as const;

export type Variables = Readonly<Record<string, string>>;

export interface Copy {
  /** How often it was written, a byte. */
  count: number;
  variables: Variables;
}

/** The first sector of a card: partitions by type, offset and bytes. */
export function partitionTable(
  partitions: readonly (readonly [type: number, offset: number, bytes: number])[],
): Buffer {
  const table = Buffer.alloc(512);
  table.writeUInt32LE(0x4c4d4d42, 440);
  table.writeUInt16LE(0xaa55, 510);
  for (const [i, [type, offset, bytes]] of partitions.entries()) {
    const entry = 446 + 16 * i;
    table[entry + 4] = type;
    table.writeUInt32LE(offset / 512, entry + 8);
    table.writeUInt32LE(bytes / 512, entry + 12);
  }
  return table;
}

/** A file as a card: its four partitions, of so many bytes each. Returns where they begin. */
export function makeDisk(path: string, bytes: number): number[] {
  const offsets = [0, 1, 2, 3].map((i) => 2 ** 20 + i * bytes);
  writeFileSync(path, partitionTable(offsets.map((offset, i) => [i === 0 ? 0x0c : 0x83, offset, bytes])));
  truncateSync(path, 2 ** 20 + 4 * bytes);
  return offsets;
}

export function writeAt(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, "r+");
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

export function readCard(path: string, offset: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  const fd = openSync(path, "r");
  readSync(fd, bytes, 0, count, offset);
  closeSync(fd);
  return bytes;
}

export function makeCopy({ count, variables }: Copy): Buffer {
  const input = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  const args = ["-r", "-s", String(COPY_BYTES), "-o", "-", "-"];
  const { status, stdout, stderr } = spawnSync("mkenvimage", args, { input: input.join("") });
  if (status !== 0) throw new Error(`mkenvimage: ${stderr}`);
  const bytes = stdout;
  bytes[4] = count;
  return bytes;
}

/** From the copy that was written last. */
export function readVariables(path: string): Variables | undefined {
  const copies = [0, 1].flatMap((i) => readCopy(path, i) ?? []);
  return copies.sort((a, b) => b.count - a.count)[0]?.variables;
}

/** undefined: not whole. */
export function readCopy(path: string, i: number): Copy | undefined {
  const bytes = readCard(path, COPIES[i]!, COPY_BYTES);
  if (bytes.readUInt32LE(0) !== crc32(bytes.subarray(5))) return undefined;
  const lines = bytes.subarray(5).toString("latin1").split("\0\0")[0]!.split("\0");
  const pairs = lines.map((line) => /^(.*?)=(.*)$/.exec(line)!.slice(1));
  return { count: bytes[4]!, variables: Object.fromEntries(pairs) };
}
