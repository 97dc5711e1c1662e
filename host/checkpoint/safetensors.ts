/**
 * safetensors: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
 * Format and its rules (no holes, no overlap, header at most 100 MB): https://github.com/huggingface/safetensors#format
 */

import { badInput, type LightMambaError } from "../errors.ts";
import { byteLength, DTYPE_BYTES, isSafetensorsDtype, isShape, type SafetensorsDtype } from "./dtype.ts";
import { InputFile, printable } from "./file.ts";
import { decodeUtf8, describe, isObject, type JsonObject, type JsonValue, parseJson } from "./json.ts";

export type { SafetensorsDtype } from "./dtype.ts";
export { isPadding, type SafetensorsTensor, writeSafetensors } from "./safetensors-writer.ts";

const LARGEST_HEADER = 100_000_000;
const LENGTH_BYTES = 8;

/** One tensor: its bytes are [begin, end) of the file. */
export interface SafetensorsEntry {
  dtype: SafetensorsDtype;
  shape: number[];
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  metadata: Record<string, string>;
  /** In the order of their bytes. */
  tensors: ReadonlyMap<string, SafetensorsEntry>;
}

export class SafetensorsFile implements SafetensorsHeader {
  readonly file: InputFile;
  readonly metadata: Record<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;

  private constructor(file: InputFile) {
    const { metadata, tensors } = readSafetensorsHeader(file);
    this.file = file;
    this.metadata = metadata;
    this.tensors = tensors;
  }

  static open(path: string): SafetensorsFile {
    const file = InputFile.open(path);
    try {
      return new SafetensorsFile(file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  readBytes(name: string): Uint8Array {
    const { begin, end } = this.#entry(name);
    return this.file.read(begin, end - begin);
  }

  /** `target` must have the tensor's size. */
  readInto(name: string, target: Uint8Array): void {
    const { begin, end } = this.#entry(name);
    if (target.length !== end - begin) {
      const sizes = { expected: `${end - begin} bytes`, found: `a target of ${target.length}` };
      throw badInput("the tensor has another size", { file: this.file.path, field: printable(name), ...sizes });
    }
    this.file.readInto(target, begin);
  }

  close(): void {
    this.file.close();
  }

  #entry(name: string): SafetensorsEntry {
    const entry = this.tensors.get(name);
    if (!entry) throw badInput("no such tensor", { file: this.file.path, field: printable(name) });
    return entry;
  }
}

export function readSafetensorsHeader(file: InputFile): SafetensorsHeader {
  const path = file.path;
  const length = headerLength(file);
  const header = parseJson(decodeUtf8(file.read(LENGTH_BYTES, length), path), path);
  if (!isObject(header)) throw badInput("the header is not a JSON object", { file: path, found: describe(header) });
  const dataBegin = LENGTH_BYTES + length;
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]): [string, SafetensorsEntry] => [name, parseEntry(value, path, name, dataBegin)])
    .sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkCoverage(entries, dataBegin, file);
  return { metadata: parseMetadata(header, path), tensors: new Map(entries) };
}

function headerLength(file: InputFile): number {
  if (file.size < LENGTH_BYTES) {
    throw badInput("too short for a safetensors file", { file: file.path, found: `${file.size} bytes` });
  }
  const length = Number(new DataView(file.read(0, LENGTH_BYTES).buffer).getBigUint64(0, true));
  const high = Math.min(LARGEST_HEADER, file.size - LENGTH_BYTES);
  if (length > high) {
    const expected = `at most ${high} bytes`;
    throw badInput("not a safetensors file, or cut short", {
      file: file.path,
      field: "header length",
      expected,
      found: length,
    });
  }
  return length;
}

function parseMetadata(header: JsonObject, path: string): Record<string, string> {
  const metadata = header.__metadata__ ?? Object.create(null);
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string")) {
    throw badInput("wrong value", { file: path, field: "__metadata__", expected: "an object of strings" });
  }
  return metadata as Record<string, string>;
}

function parseEntry(value: JsonValue, path: string, name: string, dataBegin: number): SafetensorsEntry {
  const wrong = (part: string, expected: string, found: JsonValue | undefined): LightMambaError =>
    badInput(`wrong ${part}`, { file: path, field: printable(name), expected, found: describe(found) });
  if (!isObject(value)) throw wrong("entry", "an object", value);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isSafetensorsDtype(dtype)) throw wrong("dtype", `one of ${Object.keys(DTYPE_BYTES).join(", ")}`, dtype);
  if (!isShape(shape)) throw wrong("shape", "a list of sizes", shape);
  if (!isShape(offsets) || offsets.length !== 2) throw wrong("data_offsets", "[begin, end]", offsets);
  const [begin, end] = offsets as [number, number];
  const size = byteLength(dtype, shape);
  if (end - begin !== size) throw wrong("data_offsets", `${size} bytes for ${dtype} ${describe(shape)}`, offsets);
  return { dtype, shape, begin: dataBegin + begin, end: dataBegin + end };
}

/** The tensors, in order, must cover the rest of the file exactly: the format allows neither holes nor sharing. */
function checkCoverage(entries: [string, SafetensorsEntry][], dataBegin: number, file: InputFile): void {
  let covered = dataBegin;
  for (const [name, { begin, end }] of entries) {
    if (begin !== covered) {
      throw badInput(begin < covered ? "the tensor overlaps the one before it" : "a hole before the tensor", {
        file: file.path,
        field: printable(name),
        expected: `begin at ${covered - dataBegin}`,
        found: begin - dataBegin,
      });
    }
    covered = end;
  }
  if (covered !== file.size) {
    const what = covered > file.size ? "the file is cut short" : "bytes after the last tensor";
    throw badInput(what, { file: file.path, expected: `${covered} bytes`, found: `${file.size} bytes` });
  }
}
