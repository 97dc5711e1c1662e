/** Images, lists of drives and cards that are files. No test of this folder ever asks for the real drives: none imports listDrives. */
import { closeSync, ftruncateSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Drive } from "../../host/flash/drives.ts";
import type { Target } from "../../host/flash/target.ts";
import { BLOCK, describeBlocks, formatBmap } from "../../host/image/bmap.ts";
import { partitionTable } from "../card.ts";
import { noise } from "../device/support.ts";

export const MIB = 2 ** 20;

/** An image by its table, with noise in some blocks and nothing in the others. Blocks 0 to 1791 (7 MiB). */
export const IMAGE_BYTES = 7 * MIB;
export const FILLED: readonly [first: number, last: number][] = [
  [0, 0],
  [256, 300],
  [511, 900],
  [1700, 1791],
];

export function imageContent(bytes = IMAGE_BYTES): Buffer {
  const content = Buffer.alloc(bytes);
  for (const [first, last] of FILLED) noise((last - first + 1) * BLOCK, first + 1).copy(content, first * BLOCK);
  const table = partitionTable([
    [0x0c, 1 * MIB, 1 * MIB],
    [0x83, 2 * MIB, 2 * MIB],
    [0x83, 4 * MIB, 1 * MIB],
    [0x83, 5 * MIB, 2 * MIB],
  ]);
  table.copy(content, 440, 440);
  return content;
}

export function writeImageFile(folder: string, name: string, content = imageContent(), withBmap = false): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  if (withBmap) writeFileSync(`${path}.bmap`, formatBmap(describeBlocks(path, [{ offset: 0, bytes: content.length }])));
  return path;
}

export function fakeDrive(change: Partial<Drive> = {}): Drive {
  return {
    path: "/dev/none/card",
    number: "8:16",
    model: "Generic Card",
    serial: "0001",
    bus: "usb",
    bytes: 8 * MIB,
    removable: true,
    readOnly: false,
    partitions: [],
    mounts: [],
    holders: [],
    ...change,
  };
}

/** A card that is a file, full of 0xa5, and counts what is asked of it. */
export class FileCard implements Target {
  readonly path: string;
  readonly bytes: number;
  readonly written: [at: number, bytes: number][] = [];
  syncs = 0;
  closed = false;
  readonly #fd: number;

  constructor(path: string, bytes = 8 * MIB) {
    this.path = path;
    this.bytes = bytes;
    writeFileSync(path, Buffer.alloc(bytes, 0xa5));
    this.#fd = openSync(path, "r+");
  }

  async write(data: Uint8Array, at: number): Promise<number> {
    this.written.push([at, data.length]);
    return writeSync(this.#fd, data, 0, data.length, at);
  }

  async read(into: Uint8Array, at: number): Promise<number> {
    return readSync(this.#fd, into, 0, into.length, at);
  }

  async sync(): Promise<void> {
    this.syncs++;
  }

  async close(): Promise<void> {
    ftruncateSync(this.#fd, this.bytes);
    closeSync(this.#fd);
    this.closed = true;
  }

  content(): Buffer {
    return readFileSync(this.path);
  }
}
