/**
 * GGUF, versions 2 and 3, little endian: metadata, the list of tensors, their bytes.
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

import { badInput, LightMambaError } from "../errors.ts";
import { elementCount } from "./dtype.ts";
import { type InputFile, printable } from "./file.ts";
import { type GgmlType, ggmlType, READABLE_GGML_TYPES, refusedGgmlType } from "./ggml-types.ts";
import { GgufCursor } from "./gguf-cursor.ts";
import { readMetadata, type Selection } from "./gguf-metadata.ts";
import { describe, type JsonObject, type JsonValue } from "./json.ts";

const MAGIC = 0x46554747;
const VERSIONS = [2, 3];
/** Above any model's: 4,096 layers of 16 tensors. */
const MOST_TENSORS = 2 ** 16;
const MOST_KEYS = 2 ** 16;
/** ggml's own limit, less its final NUL. */
const LONGEST_TENSOR_NAME = 63;
const MOST_DIMENSIONS = 4;
const DEFAULT_ALIGNMENT = 32;
const LARGEST_ALIGNMENT = 2 ** 20;

export interface GgufTensor {
  type: GgmlType;
  /** Outermost axis first, as everywhere here; the file has them the other way round. */
  shape: number[];
  begin: number;
  end: number;
}

export interface GgufHead {
  version: number;
  /** Values of the keys that were wanted. */
  metadata: JsonObject;
  tensors: Map<string, GgufTensor>;
}

/** Reads everything before the tensors' bytes. Values of keys that are not wanted are checked and passed over. */
export function readGguf(file: InputFile, wanted: Selection): GgufHead {
  const cursor = new GgufCursor(file);
  const version = readVersion(cursor);
  const tensorCount = count(cursor, "tensor count", MOST_TENSORS);
  const keyCount = count(cursor, "metadata count", MOST_KEYS);
  const metadata = readMetadata(cursor, keyCount, (key) => (key === ALIGNMENT_KEY ? "value" : wanted(key)));
  const alignment = readAlignment(cursor, metadata[ALIGNMENT_KEY]);
  const tensors = new Map<string, GgufTensor>();
  for (let i = 0; i < tensorCount; i++) {
    const [name, tensor] = readTensor(cursor, i, alignment);
    if (tensors.has(name)) throw cursor.error(printable(name), "the tensor is listed twice");
    tensors.set(name, tensor);
  }
  place(tensors, Math.ceil(cursor.at / alignment) * alignment, alignment, file);
  return { version, metadata, tensors };
}

const ALIGNMENT_KEY = "general.alignment";

function readVersion(cursor: GgufCursor): number {
  const { file } = cursor;
  if (file.size < 4 || cursor.u32("magic") !== MAGIC) {
    throw badInput("not a GGUF file", { file: file.path, expected: 'a file that starts with "GGUF"' });
  }
  const version = cursor.u32("version");
  if (VERSIONS.includes(version)) return version;
  // A big-endian file has the same magic, and its version's bytes the other way round.
  const swapped = (version & 0xffff) === 0 && version !== 0;
  const what = swapped ? "a big-endian GGUF file is not supported" : "this version of GGUF is not supported";
  const found = swapped ? "big endian" : version;
  throw new LightMambaError("unsupported", what, { file: file.path, field: "version", expected: "2 or 3", found });
}

function count(cursor: GgufCursor, field: string, most: number): number {
  const value = cursor.size(field);
  if (value > most) throw cursor.error(field, "absurdly large", `at most ${most}`, value);
  return value;
}

function readAlignment(cursor: GgufCursor, value: JsonValue | undefined): number {
  const alignment = value ?? DEFAULT_ALIGNMENT;
  const good = typeof alignment === "number" && alignment >= 8 && alignment <= LARGEST_ALIGNMENT;
  if (!good || !Number.isInteger(Math.log2(alignment))) {
    const expected = `a power of two from 8 to ${LARGEST_ALIGNMENT}`;
    throw cursor.error(ALIGNMENT_KEY, "wrong value", expected, describe(value));
  }
  return alignment;
}

/** `begin` and `end` are still relative to the first tensor's byte. */
function readTensor(cursor: GgufCursor, index: number, alignment: number): [string, GgufTensor] {
  const name = cursor.name(`name of tensor ${index}`, LONGEST_TENSOR_NAME);
  const field = printable(name);
  const dimensions = cursor.u32(field);
  if (dimensions < 1 || dimensions > MOST_DIMENSIONS) {
    throw cursor.error(field, "wrong number of dimensions", `1 to ${MOST_DIMENSIONS}`, dimensions);
  }
  const shape = Array.from({ length: dimensions }, () => cursor.size(field)).reverse();
  const type = readType(cursor, field);
  const elements = elementCount(shape);
  if (!Number.isSafeInteger(elements * type.bytes) || elements === 0) {
    throw cursor.error(field, "wrong shape", "sizes above 0 and a total that fits a file", describe(shape));
  }
  if (shape.at(-1)! % type.elements !== 0) {
    throw cursor.error(field, "wrong shape", `rows of whole ${type.name} blocks of ${type.elements}`, describe(shape));
  }
  const begin = cursor.size(field);
  if (begin % alignment !== 0) throw cursor.error(field, "wrong offset", `a multiple of ${alignment}`, begin);
  return [name, { type, shape, begin, end: begin + (elements / type.elements) * type.bytes }];
}

function readType(cursor: GgufCursor, field: string): GgmlType {
  const number = cursor.u32(field);
  const type = ggmlType(number);
  if (type) return type;
  const name = refusedGgmlType(number);
  if (name === undefined) throw cursor.error(field, "unknown type of tensor", READABLE_GGML_TYPES, number);
  const detail = { file: cursor.file.path, field, expected: READABLE_GGML_TYPES, found: name };
  throw new LightMambaError("unsupported", "tensors of this type are not supported", detail);
}

/** The tensors follow one another with less than `alignment` bytes between them, and end within the file. */
function place(tensors: Map<string, GgufTensor>, dataBegin: number, alignment: number, file: InputFile): void {
  let covered = 0;
  const byOffset = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  for (const [name, tensor] of byOffset) {
    const expected = Math.ceil(covered / alignment) * alignment;
    if (tensor.begin !== expected) {
      const what = tensor.begin < covered ? "the tensor overlaps the one before it" : "a hole before the tensor";
      const detail = { expected: `offset ${expected}`, found: tensor.begin };
      throw badInput(what, { file: file.path, field: printable(name), ...detail });
    }
    covered = tensor.end;
    tensor.begin += dataBegin;
    tensor.end += dataBegin;
  }
  if (dataBegin + covered > file.size) {
    const found = `${file.size} bytes`;
    throw badInput("the file is cut short", { file: file.path, expected: `${dataBegin + covered} bytes`, found });
  }
}
