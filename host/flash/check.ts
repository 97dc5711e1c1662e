/** An image is checked against all that lies beside it before a drive is touched. */
import { createHash, type Hash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { writtenSha256 } from "../checkpoint/sha256.ts";
import { badInput, LightMambaError } from "../errors.ts";
import { BLOCK, type Bmap, type Extent, parseBmap } from "../image/bmap.ts";
import { type Partition, parsePartitions, SECTOR } from "../image/layout.ts";
import { imagePieces, type Packing, packingOf, partsWithin } from "./source.ts";

export interface CheckedImage {
  path: string;
  packing: Packing;
  /** Unpacked. */
  bytes: number;
  sha256: string;
  partitions: Partition[];
  /** What must be written: of its .bmap, or all. */
  extents: Extent[];
  /** Files beside it which it was compared with. */
  checkedAgainst: string[];
}

export interface CheckOptions {
  /** Of the drive: an image that is larger is refused as soon as that shows. */
  room: number;
  /** Expected, in hex. */
  sha256?: string;
  /** False: every block is written, whatever the .bmap says. */
  bmap?: boolean;
  progress?: (done: number, total: number) => void;
}

/** Reads all of it once. */
export async function checkImage(path: string, options: CheckOptions): Promise<CheckedImage> {
  const { room, progress = () => {} } = options;
  const packing = packingOf(path);
  const packed = statSync(path).size;
  if (packing === "none") assertFits(path, packed, room);
  const bmap = options.bmap === false ? undefined : readBmap(path, packing);
  const hash = options.sha256 === undefined ? readSha256(path, packing) : { sha256: options.sha256 };
  const ranges = bmap === undefined ? undefined : new RangeCheck(bmap.map, bmap.path);
  const whole = createHash("sha256");
  let bytes = 0;
  let sector = Buffer.alloc(0);
  for await (const { data, read } of imagePieces(path, packing)) {
    if (bytes === 0) sector = Buffer.from(data.subarray(0, SECTOR));
    assertFits(path, bytes + data.length, room);
    whole.update(data);
    ranges?.update(data, bytes);
    bytes += data.length;
    progress(read, packed);
  }
  const partitions = parsePartitions(sector, bytes, path);
  ranges?.end(bytes);
  const sha256 = whole.digest("hex");
  assertHash(path, sha256, hash?.sha256);
  const extents = bmap === undefined ? [{ offset: 0, bytes }] : extentsOf(bmap.map);
  const checkedAgainst = [bmap?.path, hash?.path].filter((one) => one !== undefined);
  return { path, packing, bytes, sha256, partitions, extents, checkedAgainst };
}

function assertHash(file: string, found: string, sha256: string | undefined): void {
  if (sha256 === undefined || sha256 === found) return;
  const expected = `sha256 ${sha256}`;
  throw new LightMambaError("verification", "the image is not the one that it should be", { file, expected, found });
}

function assertFits(path: string, bytes: number, room: number): void {
  if (bytes <= room) return;
  throw new LightMambaError("device", "the image is larger than the drive", {
    file: path,
    expected: `at most ${room} bytes`,
    found: bytes,
  });
}

/** Checksums and maps are those of the unpacked image: sdcard.img.bmap for sdcard.img and sdcard.img.gz. */
function besideOf(path: string, packing: Packing, suffix: string): string {
  return `${packing === "none" ? path : path.replace(/\.(gz|zst)$/, "")}${suffix}`;
}

function readBmap(image: string, packing: Packing): { path: string; map: Bmap } | undefined {
  const path = besideOf(image, packing, ".bmap");
  return existsSync(path) ? { path, map: parseBmap(readFileSync(path, "utf8"), path) } : undefined;
}

function readSha256(image: string, packing: Packing): { sha256: string; path?: string } | undefined {
  const path = besideOf(image, packing, ".sha256");
  const sha256 = writtenSha256(path);
  return sha256 === undefined ? undefined : { sha256, path };
}

function extentsOf({ imageBytes, ranges }: Bmap): Extent[] {
  return ranges.map(({ first, last }) => ({
    offset: first * BLOCK,
    bytes: Math.min((last + 1) * BLOCK, imageBytes) - first * BLOCK,
  }));
}

/** Compares every range of a .bmap with its checksum, as the image comes by. */
class RangeCheck {
  readonly #map: Bmap;
  readonly #path: string;
  readonly #extents: Extent[];
  #open: { extent: number; hash: Hash } | undefined;

  constructor(map: Bmap, path: string) {
    this.#map = map;
    this.#path = path;
    this.#extents = extentsOf(map);
  }

  update(data: Buffer, at: number): void {
    for (const { data: part, at: from, extent } of partsWithin(data, at, this.#extents)) {
      if (this.#open?.extent !== extent) this.#open = { extent, hash: createHash("sha256") };
      this.#open.hash.update(part);
      const { offset, bytes } = this.#extents[extent]!;
      if (from + part.length === offset + bytes) this.#compare(extent);
    }
  }

  end(bytes: number): void {
    if (bytes === this.#map.imageBytes) return;
    throw badInput("the map of another image", {
      file: this.#path,
      field: "ImageSize",
      expected: bytes,
      found: this.#map.imageBytes,
    });
  }

  #compare(extent: number): void {
    const { first, last, sha256: expected } = this.#map.ranges[extent]!;
    const found = this.#open!.hash.digest("hex");
    this.#open = undefined;
    if (found === expected) return;
    throw new LightMambaError("verification", "the image is not the one of this map", {
      file: this.#path,
      field: `blocks ${first}-${last}`,
      expected: `sha256 ${expected}`,
      found,
    });
  }
}
