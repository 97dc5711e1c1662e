/** Reads the header of a GGUF file: what llama-quantize made of ours, tensor by tensor. */

import { closeSync, openSync, readSync, statSync } from "node:fs";
import { badInput } from "../host/errors.ts";
import { aligned, GGUF_MAGIC, GGUF_VERSION, TENSOR_TYPES, tensorBytes, VALUE_TYPE } from "./gguf-format.ts";

export type GgufScalar = number | bigint | boolean | string;

export interface GgufEntry {
  name: string;
  /** "F16", "Q4_0" and so on. */
  type: string;
  /** Slowest axis first. */
  shape: number[];
  /** The bytes [begin, begin + bytes) of the file. */
  begin: number;
  bytes: number;
}

export interface GgufHeader {
  version: number;
  keys: Map<string, GgufScalar | GgufScalar[]>;
  tensors: GgufEntry[];
}

/** Far more than the header of any model, and far less than its weights. */
const MOST_HEADER_BYTES = 64 * 2 ** 20;

export function readGgufHeader(path: string): GgufHeader {
  const size = Math.min(statSync(path).size, MOST_HEADER_BYTES);
  const source = new Source(Buffer.from(readBytes(path, 0, size).buffer));
  const magic = source.u32();
  if (magic !== GGUF_MAGIC) throw badInput("not a GGUF file", { file: path, expected: "GGUF", found: magic });
  const version = source.u32();
  if (version !== GGUF_VERSION) {
    throw badInput("another version of GGUF", { file: path, expected: GGUF_VERSION, found: version });
  }
  const tensorCount = source.count();
  const keyCount = source.count();
  const keys: GgufHeader["keys"] = new Map();
  for (let i = 0; i < keyCount; i++) {
    const key = source.string();
    keys.set(key, source.value(source.u32()));
  }
  const tensors = Array.from({ length: tensorCount }, () => readEntry(source, path));
  const start = aligned(source.at);
  for (const tensor of tensors) tensor.begin += start;
  return { version, keys, tensors };
}

/** `begin` is still relative to the first tensor. */
function readEntry(source: Source, path: string): GgufEntry {
  const name = source.string();
  const shape = Array.from({ length: source.u32() }, () => source.count()).reverse();
  const number = source.u32();
  const type = TENSOR_TYPES[number];
  if (type === undefined)
    throw badInput("a type of tensor this reader does not know", { file: path, field: name, found: number });
  return { name, type: type.name, shape, begin: source.count(), bytes: tensorBytes(type, shape) };
}

export function readGgufTensor(path: string, { begin, bytes }: GgufEntry): Uint8Array {
  return readBytes(path, begin, bytes);
}

function readBytes(path: string, begin: number, size: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(size);
  const file = openSync(path, "r");
  try {
    const got = readSync(file, data, 0, size, begin);
    if (got !== size)
      throw badInput("the file ends too early", { file: path, expected: begin + size, found: begin + got });
  } finally {
    closeSync(file);
  }
  return data;
}

class Source {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#advance(4));
  }

  /** A 64-bit size; none is beyond what a number holds. */
  count(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#advance(8)));
  }

  string(): string {
    const length = this.count();
    const begin = this.#advance(length);
    return this.#bytes.toString("utf8", begin, begin + length);
  }

  value(type: number): GgufScalar | GgufScalar[] {
    if (type !== VALUE_TYPE.array) return this.#scalar(type);
    const element = this.u32();
    return Array.from({ length: this.count() }, () => this.#scalar(element));
  }

  #scalar(type: number): GgufScalar {
    const bytes = this.#bytes;
    switch (type) {
      case VALUE_TYPE.u8:
        return bytes.readUInt8(this.#advance(1));
      case VALUE_TYPE.i8:
        return bytes.readInt8(this.#advance(1));
      case VALUE_TYPE.u16:
        return bytes.readUInt16LE(this.#advance(2));
      case VALUE_TYPE.i16:
        return bytes.readInt16LE(this.#advance(2));
      case VALUE_TYPE.u32:
        return this.u32();
      case VALUE_TYPE.i32:
        return bytes.readInt32LE(this.#advance(4));
      case VALUE_TYPE.f32:
        return bytes.readFloatLE(this.#advance(4));
      case VALUE_TYPE.bool:
        return bytes.readUInt8(this.#advance(1)) !== 0;
      case VALUE_TYPE.string:
        return this.string();
      case VALUE_TYPE.u64:
        return bytes.readBigUInt64LE(this.#advance(8));
      case VALUE_TYPE.i64:
        return bytes.readBigInt64LE(this.#advance(8));
      case VALUE_TYPE.f64:
        return bytes.readDoubleLE(this.#advance(8));
      default:
        throw badInput("not a type of value in GGUF", { found: type });
    }
  }

  #advance(size: number): number {
    const begin = this.at;
    this.at += size;
    return begin;
  }
}
