/**
 * The directory of a zip archive whose entries are stored as they are, which is how PyTorch writes its files.
 * Format: PKWARE APPNOTE.TXT sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 16 (end records) and
 * 4.5.3 (zip64 sizes). Archives in one part only.
 */

import { badInput, LightMambaError } from "../errors.ts";
import { type InputFile, printable } from "./file.ts";

/** The bytes of one entry are [begin, end) of the file. */
export interface ZipEntry {
  begin: number;
  end: number;
}

const END = { signature: 0x06054b50, size: 22, longestComment: 0xffff };
const END64_LOCATOR = { signature: 0x07064b50, size: 20 };
const END64 = { signature: 0x06064b50, size: 56 };
const CENTRAL = { signature: 0x02014b50, size: 46 };
const LOCAL = { signature: 0x04034b50, size: 30 };
const ZIP64_EXTRA = 0x0001;
const ENCRYPTED = 1;
/** A field with this value is in the zip64 extra instead. */
const IN_ZIP64 = 0xffffffff;
const LARGEST_DIRECTORY = 2 ** 26;

export function readZipDirectory(file: InputFile): Map<string, ZipEntry> {
  const { begin, end } = findDirectory(file);
  const directory = new Record(file, begin, end - begin);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0; at < directory.length; ) {
    const header = readCentralHeader(directory, at, file);
    if (entries.has(header.name)) throw corrupt(file, `two entries named ${printable(header.name)}`);
    entries.set(header.name, locate(file, header, begin));
    at = header.next;
  }
  return entries;
}

/** A piece of the archive, read with its bounds checked. */
class Record {
  readonly length: number;
  readonly #file: InputFile;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(file: InputFile, begin: number, length: number) {
    if (begin < 0 || begin + length > file.size) throw corrupt(file, "a record outside the file");
    this.length = length;
    this.#file = file;
    this.#bytes = file.read(begin, length);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** `at`, once `length` bytes from there on are known to be in the record. */
  within(at: number, length: number): number {
    if (at + length > this.length) throw corrupt(this.#file, "a record is cut short");
    return at;
  }

  text(at: number, length: number): string {
    return new TextDecoder().decode(this.#bytes.subarray(this.within(at, length), at + length));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.within(at, 2), true);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.within(at, 4), true);
  }

  /** Not exact above 2^53, where it fails every range check anyway. */
  u64(at: number): number {
    return this.u32(at) + this.u32(at + 4) * 2 ** 32;
  }
}

function findDirectory(file: InputFile): { begin: number; end: number } {
  const tailBegin = Math.max(0, file.size - END.size - END.longestComment);
  const tail = new Record(file, tailBegin, file.size - tailBegin);
  let at = tail.length - END.size;
  // The record is followed by a comment whose length it ends with.
  while (at >= 0 && !(tail.u32(at) === END.signature && at + END.size + tail.u16(at + 20) === tail.length)) at--;
  if (at < 0) throw badInput("not a zip archive, or cut short", { file: file.path });
  const end = tailBegin + at;
  const small = { size: tail.u32(at + 12), begin: tail.u32(at + 16), limit: end };
  const { size, begin, limit } = findDirectory64(file, end) ?? small;
  if (begin + size > limit) throw corrupt(file, "the directory lies outside the file");
  if (size > LARGEST_DIRECTORY) throw corrupt(file, `a directory of ${size} bytes`);
  return { begin, end: begin + size };
}

function findDirectory64(file: InputFile, end: number): { size: number; begin: number; limit: number } | undefined {
  const locatorBegin = end - END64_LOCATOR.size;
  if (locatorBegin < 0) return undefined;
  const locator = new Record(file, locatorBegin, END64_LOCATOR.size);
  if (locator.u32(0) !== END64_LOCATOR.signature) return undefined;
  const limit = locator.u64(8);
  const record = new Record(file, limit, END64.size);
  if (record.u32(0) !== END64.signature) throw corrupt(file, "no zip64 end record where its locator points");
  return { size: record.u64(40), begin: record.u64(48), limit };
}

interface CentralHeader {
  name: string;
  size: number;
  localHeader: number;
  next: number;
}

function readCentralHeader(directory: Record, at: number, file: InputFile): CentralHeader {
  if (directory.u32(at) !== CENTRAL.signature) throw corrupt(file, "a wrong signature in the directory");
  const nameLength = directory.u16(at + 28);
  const extraLength = directory.u16(at + 30);
  const extraBegin = at + CENTRAL.size + nameLength;
  const next = extraBegin + extraLength + directory.u16(at + 32);
  const name = directory.text(at + CENTRAL.size, nameLength);
  directory.within(at, next - at);
  const isStored = directory.u16(at + 10) === 0 && (directory.u16(at + 8) & ENCRYPTED) === 0;
  if (!isStored) {
    const what = "compressed or encrypted zip entries are not supported: PyTorch stores them as they are";
    throw new LightMambaError("unsupported", what, { file: file.path, field: printable(name) });
  }
  const fields = [directory.u32(at + 24), directory.u32(at + 20), directory.u32(at + 42)];
  const [size, stored, localHeader] = resolveZip64(directory, fields, extraBegin, extraBegin + extraLength);
  if (size !== stored) throw corrupt(file, `two sizes for ${printable(name)}`);
  return { name, size: size!, localHeader: localHeader!, next };
}

/** The zip64 extra holds, in this order, only the fields that did not fit. */
function resolveZip64(directory: Record, fields: number[], extraBegin: number, extraEnd: number): number[] {
  if (!fields.includes(IN_ZIP64)) return fields;
  let at = extraBegin;
  while (at + 4 <= extraEnd && directory.u16(at) !== ZIP64_EXTRA) at += 4 + directory.u16(at + 2);
  if (at + 4 > extraEnd) return fields;
  at += 4;
  return fields.map((field) => {
    if (field !== IN_ZIP64) return field;
    at += 8;
    return directory.u64(at - 8);
  });
}

/** The local header repeats the name and may have another extra field, so the data's place is known only from it. */
function locate(file: InputFile, { name, size, localHeader }: CentralHeader, directoryBegin: number): ZipEntry {
  const local = new Record(file, localHeader, LOCAL.size);
  if (local.u32(0) !== LOCAL.signature) throw corrupt(file, `no entry where the directory puts ${printable(name)}`);
  const begin = localHeader + LOCAL.size + local.u16(26) + local.u16(28);
  if (begin + size > directoryBegin) throw corrupt(file, `${printable(name)} reaches outside the archive's data`);
  return { begin, end: begin + size };
}

function corrupt(file: InputFile, found: string): LightMambaError {
  return badInput("a damaged zip archive", { file: file.path, found });
}
