// The MMU's row scale: sums of a block of 8 rows to real values, rsh(acc · m, s - rw) + bias (docs/numerics.md section 3.2).
import { BLOCK_ROWS } from "../contract";
import { Exact } from "./exact";

/** Bytes of the powers of a block, f64 [8], and of its values, i32 [8]. */
export const POWER_BYTES: usize = BLOCK_ROWS * 8;
export const VALUE_BYTES: usize = BLOCK_ROWS * 4;

/** 2^rw of 8 rows: exponents i8 [8] → f64 [8], by writing the exponents of the FP64 numbers. */
export function rowPowers(exponents: usize, out: usize): void {
  const e = v128.load8x8_s(exponents);
  const bias = i64x2.splat(1023);
  const low = i32x4.extend_low_i16x8_s(e);
  const high = i32x4.extend_high_i16x8_s(e);
  v128.store(out, i64x2.shl(i64x2.add(i64x2.extend_low_i32x4_s(low), bias), 52));
  v128.store(out, i64x2.shl(i64x2.add(i64x2.extend_high_i32x4_s(low), bias), 52), 16);
  v128.store(out, i64x2.shl(i64x2.add(i64x2.extend_low_i32x4_s(high), bias), 52), 32);
  v128.store(out, i64x2.shl(i64x2.add(i64x2.extend_high_i32x4_s(high), bias), 52), 48);
}

/**
 * Sums i32 [8] become values, saturated: · factor · powers, rounded, + bias i32 [8] + addend i32 [8]; bias and addend may be 0.
 * lowSums: of 8-bit codes, the low plane's (the sum is 16 · sums + lowSums), else 0. factor: m · 2^-shift of a row with exponent 0.
 */
export function scaleRows(sums: usize, lowSums: usize, powers: usize, factor: f64, bias: usize, addend: usize): void {
  const f = f64x2.splat(factor);
  for (let four: usize = 0; four < VALUE_BYTES; four += 16) {
    const s = v128.load(sums + four);
    let low = Exact.low(s);
    let high = Exact.high(s);
    if (lowSums) {
      const plane = v128.load(lowSums + four);
      low = f64x2.add(f64x2.mul(low, f64x2.splat(16)), Exact.low(plane));
      high = f64x2.add(f64x2.mul(high, f64x2.splat(16)), Exact.high(plane));
    }
    low = Exact.round(f64x2.mul(low, f64x2.mul(v128.load(powers + 2 * four), f)));
    high = Exact.round(f64x2.mul(high, f64x2.mul(v128.load(powers + 2 * four, 16), f)));
    if (bias) {
      low = f64x2.add(low, Exact.low(v128.load(bias + four)));
      high = f64x2.add(high, Exact.high(v128.load(bias + four)));
    }
    if (addend) {
      low = f64x2.add(low, Exact.low(v128.load(addend + four)));
      high = f64x2.add(high, Exact.high(v128.load(addend + four)));
    }
    v128.store(sums + four, Exact.integers(low, high));
  }
}
