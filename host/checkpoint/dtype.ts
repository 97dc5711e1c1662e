/** Element types of safetensors, and the widening of the three that weights come in. */

import type { Dtype } from "./types.ts";

export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

export function isSafetensorsDtype(name: unknown): name is SafetensorsDtype {
  return typeof name === "string" && Object.hasOwn(DTYPE_BYTES, name);
}

export function isWeightDtype(name: string): name is Dtype {
  return name === "F32" || name === "F16" || name === "BF16";
}

/** PyTorch's own limit. It also keeps a hostile shape from filling a message. */
const MOST_DIMENSIONS = 64;

export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_DIMENSIONS && value.every(isSize);
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Above Number.MAX_SAFE_INTEGER the product is not exact: callers compare it with a size that is. */
export function byteLength(dtype: SafetensorsDtype, shape: readonly number[]): number {
  return elementCount(shape) * DTYPE_BYTES[dtype];
}

/**
 * Widens little-endian elements to the bit patterns of FP32, exactly: both 16-bit types are subsets of FP32.
 * `bytes` must start on a multiple of the element size in its buffer; `target` has one word per element.
 */
export function widen(dtype: Dtype, bytes: Uint8Array, target: Uint32Array): void {
  if (dtype === "F32") {
    target.set(new Uint32Array(bytes.buffer, bytes.byteOffset, target.length));
    return;
  }
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, target.length);
  if (dtype === "BF16") {
    for (let i = 0; i < halves.length; i++) target[i] = halves[i]! << 16;
    return;
  }
  halfTable ??= Uint32Array.from({ length: 2 ** 16 }, (_, half) => widenHalf(half));
  for (let i = 0; i < halves.length; i++) target[i] = halfTable[halves[i]!]!;
}

let halfTable: Uint32Array | undefined;

/** IEEE 754 binary16 to binary32. */
export function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // A subnormal is a normal number in FP32: its leading one moves up to the implicit bit.
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}
