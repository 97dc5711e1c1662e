/** The image to write, plain or packed, in pieces. */
import { closeSync, createReadStream, openSync, readSync, statSync } from "node:fs";
import { pipeline, type Transform } from "node:stream";
import * as zlib from "node:zlib";
import { badInput, LightMambaError } from "../errors.ts";
import { BLOCK, type Extent } from "../image/bmap.ts";

/** Bytes that are read, written and compared at once; whole blocks. */
export const PIECE = 256 * BLOCK;

export type Packing = "none" | "gzip" | "zstd";

const MAGICS: readonly [name: string, magic: Buffer, packing?: Packing][] = [
  ["gzip", Buffer.from([0x1f, 0x8b]), "gzip"],
  ["zstd", Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), "zstd"],
  ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ["bzip2", Buffer.from("BZh")],
  ["zip", Buffer.from("PK\x03\x04")],
];

/** By its first bytes: names may lie. */
export function packingOf(path: string): Packing {
  if (!statSync(path).isFile()) throw badInput("is no file: an image is read from one", { file: path });
  const start = Buffer.alloc(8);
  const fd = openSync(path, "r");
  try {
    readSync(fd, start, 0, start.length, 0);
  } finally {
    closeSync(fd);
  }
  const [name, , packing] = MAGICS.find(([, magic]) => start.subarray(0, magic.length).equals(magic)) ?? [];
  if (name === undefined) return "none";
  if (packing !== undefined) return packing;
  throw new LightMambaError("unsupported", `packed with ${name}`, {
    file: path,
    expected: "gzip, zstd or not packed",
    hint: "unpack it first",
  });
}

/** Of Node 22.15 and newer. */
const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };

function unpacker(packing: Packing, path: string): Transform | undefined {
  if (packing === "none") return undefined;
  if (packing === "gzip") return zlib.createGunzip();
  if (createZstdDecompress !== undefined) return createZstdDecompress();
  throw new LightMambaError("unsupported", "packed with zstd, which this Node cannot read", {
    file: path,
    expected: "Node 22.15 or newer",
    found: process.version,
    hint: "zstd -d",
  });
}

export interface Piece {
  /** `PIECE` bytes, but for the last; valid until the next one is asked for. */
  data: Buffer;
  /** Bytes of the file that have been read for it, for progress. */
  read: number;
}

/** The unpacked image, from its start. */
export async function* imagePieces(path: string, packing: Packing): AsyncGenerator<Piece> {
  const file = createReadStream(path, { highWaterMark: PIECE });
  const unpack = unpacker(packing, path);
  const stream = unpack === undefined ? file : pipeline(file, unpack, () => {});
  const piece = Buffer.alloc(PIECE);
  let filled = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (let from = 0; from < chunk.length; ) {
        const count = chunk.copy(piece, filled, from);
        from += count;
        filled += count;
        if (filled < PIECE) continue;
        yield { data: piece, read: file.bytesRead };
        filled = 0;
      }
    }
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!/^(Z_|ZSTD_|ERR_)/.test(code)) throw error;
    throw badInput(`cannot be unpacked: ${message}`, { file: path });
  } finally {
    file.destroy();
  }
  if (filled > 0) yield { data: piece.subarray(0, filled), read: file.bytesRead };
}

/** The parts of `data`, which lies `at` in the image, that are in one of the extents; these in order, as the calls are. */
export function* partsWithin(
  data: Buffer,
  at: number,
  extents: readonly Extent[],
): Generator<{ data: Buffer; at: number; extent: number }> {
  for (let extent = firstBeyond(extents, at); extent < extents.length; extent++) {
    const { offset, bytes } = extents[extent]!;
    const [from, to] = [Math.max(offset, at), Math.min(offset + bytes, at + data.length)];
    if (offset >= at + data.length) return;
    yield { data: data.subarray(from - at, to - at), at: from, extent };
  }
}

/** The first extent that ends beyond `at`. */
function firstBeyond(extents: readonly Extent[], at: number): number {
  let [low, high] = [0, extents.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const { offset, bytes } = extents[middle]!;
    if (offset + bytes > at) high = middle;
    else low = middle + 1;
  }
  return low;
}
