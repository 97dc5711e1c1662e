/** The metadata of a GGUF file: keys with typed values. */

import { printable } from "./file.ts";
import type { GgufCursor } from "./gguf-cursor.ts";
import type { JsonObject, JsonValue } from "./json.ts";

const LONGEST_KEY = 2 ** 16 - 1;
const LONGEST_TEXT = 2 ** 26;
/** As many as a vocabulary may have: a number takes eight times its byte here. */
const LONGEST_LIST = 2 ** 24;
const DEEPEST_ARRAY = 4;
const STRING = 8;
const ARRAY = 9;

/** Readers of the fixed-size value types by their numbers. 64-bit integers beyond the exact doubles are no sizes. */
const SCALARS: Record<number, [bytes: number, read: (view: DataView, at: number) => JsonValue]> = {
  0: [1, (view, at) => view.getUint8(at)],
  1: [1, (view, at) => view.getInt8(at)],
  2: [2, (view, at) => view.getUint16(at, true)],
  3: [2, (view, at) => view.getInt16(at, true)],
  4: [4, (view, at) => view.getUint32(at, true)],
  5: [4, (view, at) => view.getInt32(at, true)],
  6: [4, (view, at) => shortest(view.getFloat32(at, true))],
  7: [1, (view, at) => boolean(view.getUint8(at))],
  10: [8, (view, at) => Number(view.getBigUint64(at, true))],
  11: [8, (view, at) => Number(view.getBigInt64(at, true))],
  12: [8, (view, at) => view.getFloat64(at, true)],
};

export type Wanted = "value" | "list";
/** Which keys are kept, and whether they may be lists. */
export type Selection = (key: string) => Wanted | undefined;

/** The values of the keys that are wanted; the others are checked and passed over. */
export function readMetadata(cursor: GgufCursor, keys: number, wanted: Selection): JsonObject {
  const metadata: JsonObject = Object.create(null);
  const seen = new Set<string>();
  for (let i = 0; i < keys; i++) {
    const key = cursor.name(`metadata key ${i}`, LONGEST_KEY);
    const field = printable(key);
    if (seen.has(key)) throw cursor.error(field, "the key is given twice");
    seen.add(key);
    const type = cursor.u32(field);
    const kind = wanted(key);
    if (kind !== undefined) metadata[key] = readValue(cursor, type, field, kind);
    else skipValue(cursor, type, field, 0);
  }
  return metadata;
}

/** A list where one value is wanted, or a list of lists, is checked and stands for itself as an empty one. */
function readValue(cursor: GgufCursor, type: number, field: string, kind: Wanted): JsonValue {
  if (type === STRING) return cursor.text(field, LONGEST_TEXT);
  if (type === ARRAY) return kind === "list" ? readList(cursor, field) : skipArray(cursor, field, 0);
  const [bytes, read] = scalar(cursor, type, field);
  return cursor.take(bytes, field, (view, at) => valid(cursor, read(view, at), field));
}

function readList(cursor: GgufCursor, field: string): JsonValue[] {
  const [itemType, length] = arrayHead(cursor, field, 0);
  if (length > LONGEST_LIST) throw cursor.error(field, "the list is too long", `at most ${LONGEST_LIST}`, length);
  const items: JsonValue[] = [];
  for (let i = 0; i < length; i++) {
    if (itemType === ARRAY) skipArray(cursor, field, 1);
    else items.push(readValue(cursor, itemType, field, "value"));
  }
  return items;
}

function skipValue(cursor: GgufCursor, type: number, field: string, depth: number): void {
  if (type === STRING) cursor.skip(cursor.size(field), field);
  else if (type === ARRAY) skipArray(cursor, field, depth);
  else cursor.skip(scalar(cursor, type, field)[0], field);
}

function skipArray(cursor: GgufCursor, field: string, depth: number): JsonValue[] {
  const [itemType, length] = arrayHead(cursor, field, depth);
  if (itemType === STRING || itemType === ARRAY) {
    for (let i = 0; i < length; i++) skipValue(cursor, itemType, field, depth + 1);
  } else {
    cursor.skip(length * scalar(cursor, itemType, field)[0], field);
  }
  return [];
}

function scalar(cursor: GgufCursor, type: number, field: string): (typeof SCALARS)[number] {
  const found = SCALARS[type];
  if (!found) throw cursor.error(field, "unknown type of value", "a number from 0 to 12", type);
  return found;
}

/** The type of the items and their number, which must fit what is left of the file. */
function arrayHead(cursor: GgufCursor, field: string, depth: number): [itemType: number, length: number] {
  if (depth >= DEEPEST_ARRAY) throw cursor.error(field, "lists too deep in one another", `at most ${DEEPEST_ARRAY}`);
  const itemType = cursor.u32(field);
  const length = cursor.size(field);
  const least = itemType === STRING ? 8 : itemType === ARRAY ? 12 : scalar(cursor, itemType, field)[0];
  cursor.need(length * least, field);
  return [itemType, length];
}

function valid(cursor: GgufCursor, value: JsonValue, field: string): JsonValue {
  if (value === null) throw cursor.error(field, "wrong value", "0 or 1 for false or true");
  return value;
}

function boolean(byte: number): JsonValue {
  return byte > 1 ? null : byte === 1;
}

/** The shortest decimal that is this FP32 number: 1e-5 and not 9.999999747378752e-6, as the model's authors wrote it. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}
