// Fixed-point primitives and tabulated functions of the contract: docs/numerics.md, sections 1 and 2.
import { EXP2, LOG1P, RSQRT, SILU } from "./tables.generated";

/** Rounding right shift, ties up; a negative s shifts left. */
export function rsh(x: i64, s: i32): i64 {
  if (s <= 0) return shiftLeft(x, -s);
  if (s > 62) return 0;
  return (x + ((<i64>1) << (s - 1))) >> s;
}

/** x · 2^s, or ±2^62 where that does not fit: every caller saturates to far less. */
function shiftLeft(x: i64, s: i32): i64 {
  const y = x << min(s, 62);
  if (y >> min(s, 62) == x) return y;
  return x < 0 ? -0x4000000000000000 : 0x4000000000000000;
}

export function clamp(x: i64, low: i64, high: i64): i64 {
  return min(max(x, low), high);
}

/** Saturates to the signed range of `bits` bits. */
export function sat(x: i64, bits: i32): i64 {
  const top = (<i64>1) << (bits - 1);
  return clamp(x, -top, top - 1);
}

export function bitlen(x: u64): i32 {
  return 64 - <i32>clz(x);
}

/** Smallest s ≥ 0 with rsh(magnitude, s) ≤ 127: the exponent step of an int8 group. */
export function byteShift(magnitude: i64): i32 {
  let s = max(bitlen(magnitude) - 7, 0);
  if (rsh(magnitude, s) > 127) s++;
  return s;
}

function entry(table: usize, i: i32): i32 {
  return load<i32>(table + ((<usize>i) << 2));
}

/** x·sigmoid(x): u is Q11, the result int16 with `fo` fraction bits. */
export function silu(u: i64, fo: i32): i32 {
  const x = <i32>clamp(u, -0xfffff, 0xfffff);
  const a = abs(x);
  let g = 0;
  if (a < 0x8000) {
    const i = a >> 7;
    const low = entry(SILU, i);
    g = low + (((entry(SILU, i + 1) - low) * (a & 127) + 64) >> 7);
  }
  return <i32>sat(rsh((max(x, 0) << 5) - g, 16 - fo), 16);
}

/** 2^(-f / 2^24) in Q16 for 0 ≤ f ≤ 2^24. */
export function exp2n(f: i32): i32 {
  const i = f >> 18;
  const low = entry(EXP2, i);
  if (i == 64) return low;
  return low - (((low - entry(EXP2, i + 1)) * (f & 0x3ffff) + 0x20000) >> 18);
}

/** log(1 + e^v): v is Q16, the result Q24 with its relative precision kept for very negative v. */
export function softplus(v: i64): i64 {
  const x = <i32>clamp(v, -0x3fffff, 0x3fffff);
  const a = abs(x);
  const log2 = <i32>rsh(<i64>a * 94548, 16);
  const n = log2 >> 16;
  const whole = (<i64>max(x, 0)) << 8;
  if (n > 40) return whole;
  let q: i32 = 0x10000;
  if (a < 0x100000) {
    const i = a >> 14;
    const low = entry(LOG1P, i);
    q = low + (((entry(LOG1P, i + 1) - low) * (a & 0x3fff) + 0x2000) >> 14);
  }
  return whole + rsh(<i64>exp2n((log2 & 0xffff) << 8) * <i64>q, 8 + n);
}

/** m · 2^(-s): a positive factor. */
@unmanaged
export class Factor {
  m: i32;
  s: i32;
}

/**
 * The RMSNorm factor 1/sqrt(S / n), where sqrt(n) = rootMantissa · 2^(-rootShift).
 * Table over the mantissa of S in [1, 4), an even exponent outside.
 */
export function norm(sum: u64, rootMantissa: i32, rootShift: i32, out: Factor): void {
  const s = max(sum, 1);
  const j = (bitlen(s) - 15) >> 1;
  const m = <i32>(j >= 0 ? s >> (2 * j) : s << (-2 * j));
  const i = (m >> 8) - 64;
  const low = entry(RSQRT, i);
  const q = low - (((low - entry(RSQRT, i + 1)) * (m & 255) + 128) >> 8);
  out.m = <i32>((<u64>rootMantissa * <u64>q) >> 16);
  out.s = 7 + j + rootShift;
}
