/**
 * GGUF, version 3: what the writer and the reader share. All little-endian: magic, version, counts; the keys; a table of
 * the tensors; then, from a multiple of 32 on, their bytes, each from a multiple of 32.
 */

export const GGUF_MAGIC = 0x46554747;
export const GGUF_VERSION = 3;
export const GGUF_ALIGNMENT = 32;

/** Types of a key's value, by the numbers that stand in the file. */
export const VALUE_TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

/** A key's value as the writer takes it: only the kinds that a Mamba-2 model needs. */
export type GgufValue =
  | { type: "u32" | "i32" | "f32"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | { type: "strings"; value: readonly string[] }
  | { type: "i32s"; value: readonly number[] };

interface TensorType {
  name: string;
  /** Elements of a block, and its bytes. */
  elements: number;
  bytes: number;
}

/** Types of tensors, by the numbers that stand in the file: those that llama.cpp's usual quantizations use. */
export const TENSOR_TYPES: Readonly<Record<number, TensorType>> = {
  0: { name: "F32", elements: 1, bytes: 4 },
  1: { name: "F16", elements: 1, bytes: 2 },
  2: { name: "Q4_0", elements: 32, bytes: 18 },
  3: { name: "Q4_1", elements: 32, bytes: 20 },
  6: { name: "Q5_0", elements: 32, bytes: 22 },
  7: { name: "Q5_1", elements: 32, bytes: 24 },
  8: { name: "Q8_0", elements: 32, bytes: 34 },
  10: { name: "Q2_K", elements: 256, bytes: 84 },
  11: { name: "Q3_K", elements: 256, bytes: 110 },
  12: { name: "Q4_K", elements: 256, bytes: 144 },
  13: { name: "Q5_K", elements: 256, bytes: 176 },
  14: { name: "Q6_K", elements: 256, bytes: 210 },
  20: { name: "IQ4_NL", elements: 32, bytes: 18 },
  23: { name: "IQ4_XS", elements: 256, bytes: 136 },
  30: { name: "BF16", elements: 1, bytes: 2 },
};

export const F32 = 0;
export const F16 = 1;

export function tensorBytes(type: TensorType, shape: readonly number[]): number {
  return (shape.reduce((product, size) => product * size, 1) / type.elements) * type.bytes;
}

/** `size` rounded up to where the next tensor may start. */
export function aligned(size: number): number {
  return Math.ceil(size / GGUF_ALIGNMENT) * GGUF_ALIGNMENT;
}
