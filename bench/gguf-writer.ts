/** Writes a GGUF file. What goes into one for a Mamba-2 model: gguf-mamba2.ts. */

import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import {
  aligned,
  type F16,
  type F32,
  GGUF_MAGIC,
  GGUF_VERSION,
  type GgufValue,
  TENSOR_TYPES,
  tensorBytes,
  VALUE_TYPE,
} from "./gguf-format.ts";

export interface GgufTensor {
  name: string;
  type: typeof F32 | typeof F16;
  /** Slowest axis first, as everywhere in this project; the file has them the other way round. */
  shape: readonly number[];
  /** Called once, when the tensor's turn comes, so that a model larger than memory can be written. */
  data(): Uint8Array;
}

/** Writes the keys and the tensors in the order given; a failure leaves nothing behind. */
export function writeGguf(path: string, keys: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, "w");
    try {
      writePadded(file, encodeHeader(keys, tensors));
      for (const tensor of tensors) writePadded(file, checkedData(tensor));
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Everything before the first tensor. */
export function encodeHeader(keys: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): Uint8Array {
  const out = new Bytes();
  out.u32(GGUF_MAGIC);
  out.u32(GGUF_VERSION);
  out.u64(tensors.length);
  out.u64(keys.size);
  for (const [key, value] of keys) {
    out.string(key);
    encodeValue(out, value);
  }
  let offset = 0;
  for (const { name, type, shape } of tensors) {
    out.string(name);
    out.u32(shape.length);
    for (const size of shape.toReversed()) out.u64(size);
    out.u32(type);
    out.u64(offset);
    offset += aligned(tensorBytes(TENSOR_TYPES[type]!, shape));
  }
  return out.joined();
}

function encodeValue(out: Bytes, value: GgufValue): void {
  switch (value.type) {
    case "strings":
    case "i32s": {
      const element = value.type === "strings" ? VALUE_TYPE.string : VALUE_TYPE.i32;
      out.u32(VALUE_TYPE.array);
      out.u32(element);
      out.u64(value.value.length);
      for (const item of value.value) typeof item === "string" ? out.string(item) : out.i32(item);
      return;
    }
    default:
      out.u32(VALUE_TYPE[value.type]);
      if (value.type === "string") out.string(value.value);
      else if (value.type === "bool") out.u8(value.value ? 1 : 0);
      else out[value.type](value.value);
  }
}

function checkedData({ name, type, shape, data }: GgufTensor): Uint8Array {
  const bytes = data();
  const expected = tensorBytes(TENSOR_TYPES[type]!, shape);
  if (bytes.length !== expected) throw new Error(`${name}: ${bytes.length} bytes given, ${expected} needed`);
  return bytes;
}

function writePadded(file: number, bytes: Uint8Array): void {
  for (const piece of [bytes, new Uint8Array(aligned(bytes.length) - bytes.length)]) {
    for (let done = 0; done < piece.length; ) done += writeSync(file, piece, done);
  }
}

/** Grows by pieces. Counts and offsets are 64 bits in the file and exact numbers here. */
class Bytes {
  readonly #pieces: Uint8Array[] = [];

  u8(value: number): void {
    this.#pieces.push(Uint8Array.of(value));
  }

  u32(value: number): void {
    this.#number(4, (view) => view.setUint32(0, value, true));
  }

  i32(value: number): void {
    this.#number(4, (view) => view.setInt32(0, value, true));
  }

  f32(value: number): void {
    this.#number(4, (view) => view.setFloat32(0, value, true));
  }

  u64(value: number): void {
    this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.#pieces.push(bytes);
  }

  joined(): Uint8Array {
    return Buffer.concat(this.#pieces);
  }

  #number(size: number, set: (view: DataView) => void): void {
    const bytes = new Uint8Array(size);
    set(new DataView(bytes.buffer));
    this.#pieces.push(bytes);
  }
}
