/**
 * Which blocks of an image must be written: the format of bmaptool, version 2.0. A card is not empty: a block of zeros must be written too, unless
 * nobody has it. Each range has its SHA-256, and the file the one of itself, taken with zeros in the place of that.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { badInput } from "../errors.ts";

export const BLOCK = 4096;
/** Bytes that are read at once. */
const CHUNK = 256 * BLOCK;
const NO_CHECKSUM = "0".repeat(64);
/** A description of 64 GiB in single blocks has more, but no image of ours does. */
const MOST_RANGES = 1_000_000;

export interface BmapRange {
  /** Blocks, both ends included. */
  first: number;
  last: number;
  sha256: string;
}

export interface Bmap {
  imageBytes: number;
  ranges: BmapRange[];
}

/** A part of an image, in bytes. */
export interface Extent {
  offset: number;
  bytes: number;
}

/** Reads the whole image. Blocks of zeros that lie in one of the `free` extents, which are in order, are left out. */
export function describeBlocks(path: string, free: readonly Extent[] = []): Bmap {
  const fd = openSync(path, "r");
  try {
    const imageBytes = fstatSync(fd).size;
    const ranges: BmapRange[] = [];
    const buffer = Buffer.alloc(CHUNK);
    const zeros = Buffer.alloc(BLOCK);
    const isFree = withinAny(free);
    let open: { first: number; hash: ReturnType<typeof createHash> } | undefined;
    const close = (last: number) => {
      if (open !== undefined) ranges.push({ first: open.first, last, sha256: open.hash.digest("hex") });
      open = undefined;
    };
    for (let at = 0; at < imageBytes; ) {
      const count = readSync(fd, buffer, 0, CHUNK, at);
      for (let from = 0; from < count; from += BLOCK) {
        const part = buffer.subarray(from, Math.min(from + BLOCK, count));
        const block = (at + from) / BLOCK;
        if (part.equals(zeros.subarray(0, part.length)) && isFree(at + from, part.length)) {
          close(block - 1);
          continue;
        }
        open ??= { first: block, hash: createHash("sha256") };
        open.hash.update(part);
      }
      at += count;
    }
    close(Math.ceil(imageBytes / BLOCK) - 1);
    return { imageBytes, ranges };
  } finally {
    closeSync(fd);
  }
}

/** Whether bytes lie within one of the extents; both come in order. */
function withinAny(extents: readonly Extent[]): (offset: number, bytes: number) => boolean {
  let next = 0;
  const end = ({ offset, bytes }: Extent) => offset + bytes;
  return (offset, bytes) => {
    while (next < extents.length && end(extents[next]!) < offset + bytes) next++;
    return next < extents.length && extents[next]!.offset <= offset;
  };
}

export function formatBmap({ imageBytes, ranges }: Bmap): string {
  const mapped = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const lines = ranges.map(({ first, last, sha256 }) => {
    const blocks = first === last ? `${first}` : `${first}-${last}`;
    return `    <Range chksum="${sha256}"> ${blocks} </Range>`;
  });
  const text = `<?xml version="1.0" ?>
<bmap version="2.0">
  <ImageSize> ${imageBytes} </ImageSize>
  <BlockSize> ${BLOCK} </BlockSize>
  <BlocksCount> ${Math.ceil(imageBytes / BLOCK)} </BlocksCount>
  <MappedBlocksCount> ${mapped} </MappedBlocksCount>
  <ChecksumType> sha256 </ChecksumType>
  <BmapFileChecksum> ${NO_CHECKSUM} </BmapFileChecksum>
  <BlockMap>
${lines.join("\n")}
  </BlockMap>
</bmap>
`;
  return text.replace(NO_CHECKSUM, createHash("sha256").update(text).digest("hex"));
}

/** Checks every number and the file's own checksum; `file` is for messages. */
export function parseBmap(text: string, file: string): Bmap {
  const element = (name: string) => {
    const found = new RegExp(`<${name}>\\s*([^<]*?)\\s*</${name}>`).exec(text)?.[1];
    if (found === undefined) throw badInput("not a bmap of version 2: the element is missing", { file, field: name });
    return found;
  };
  const whole = (name: string, value: string) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && Number.isSafeInteger(number)) return number;
    throw badInput("not a whole number", { file, field: name, found: value.slice(0, 40) });
  };
  const checksum = element("BmapFileChecksum");
  const found = createHash("sha256").update(text.replace(checksum, NO_CHECKSUM)).digest("hex");
  if (element("ChecksumType") !== "sha256" || checksum !== found)
    throw badInput("the file's checksum does not hold", { file, expected: checksum.slice(0, 80), found });
  const imageBytes = whole("ImageSize", element("ImageSize"));
  const size = whole("BlockSize", element("BlockSize"));
  if (size !== BLOCK)
    throw badInput("other blocks than ours", { file, field: "BlockSize", expected: BLOCK, found: size });
  const blocks = Math.ceil(imageBytes / BLOCK);
  let next = 0;
  const ranges: BmapRange[] = [];
  for (const [, sha256, from, to = from] of text.matchAll(
    /<Range chksum="([0-9a-f]{64})">\s*(\d+)(?:-(\d+))?\s*<\/Range>/g,
  )) {
    const [first, last] = [whole("Range", from!), whole("Range", to!)];
    if (first < next || last < first || last >= blocks || ranges.length === MOST_RANGES)
      throw badInput("a range out of order, or beyond the image", { file, field: "Range", found: `${first}-${last}` });
    ranges.push({ first, last, sha256: sha256! });
    next = last + 1;
  }
  const mapped = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const expected = whole("MappedBlocksCount", element("MappedBlocksCount"));
  if (mapped !== expected) throw badInput("ranges are missing, or cannot be read", { file, expected, found: mapped });
  return { imageBytes, ranges };
}
