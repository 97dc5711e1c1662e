// Rounding shifts of products beyond 32 bits, two FP64 lanes at a time: rsh(x, s) = floor(x · 2^-s + 1/2) without any error, since x is an
// integer of at most 52 bits and scaling by a power of two only moves the exponent. Four times as fast as int64, whose lanes cannot be multiplied.

const CONSTANTS: usize = memory.data(16 * 5, 16);
const HALF: usize = CONSTANTS;
const LEAST24: usize = CONSTANTS + 16;
const MOST24: usize = CONSTANTS + 32;
const LEAST18: usize = CONSTANTS + 48;
const MOST18: usize = CONSTANTS + 64;

/** Writes the vector constants: a loaded one is cheaper than one that the engine builds at every use. */
export function allocateExact(): void {
  v128.store(HALF, f64x2.splat(0.5));
  v128.store(LEAST24, f64x2.splat(-8388608));
  v128.store(MOST24, f64x2.splat(8388607));
  v128.store(LEAST18, f64x2.splat(-131072));
  v128.store(MOST18, f64x2.splat(131071));
}

/** 2^e for -1022 ≤ e ≤ 1023. */
export function power(e: i32): f64 {
  return reinterpret<f64>((<u64>(e + 1023)) << 52);
}

export class Exact {
  /** Integers nearest to x, ties up. */
  @inline
  static round(x: v128): v128 {
    return f64x2.floor(f64x2.add(x, v128.load(HALF)));
  }

  /** Low two int32 lanes. */
  @inline
  static low(x: v128): v128 {
    return f64x2.convert_low_i32x4_s(x);
  }

  /** High two int32 lanes. */
  @inline
  static high(x: v128): v128 {
    return f64x2.convert_low_i32x4_s(i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  }

  /** Two integers each to four int32 lanes, saturated. */
  @inline
  static integers(low: v128, high: v128): v128 {
    const x = i32x4.trunc_sat_f64x2_s_zero(low);
    const y = i32x4.trunc_sat_f64x2_s_zero(high);
    return i8x16.shuffle(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  }

  /** Saturated to 24 bits. */
  @inline
  static sat24(x: v128): v128 {
    return f64x2.pmin(f64x2.pmax(x, v128.load(LEAST24)), v128.load(MOST24));
  }

  /** Saturated to 18 bits. */
  @inline
  static sat18(x: v128): v128 {
    return f64x2.pmin(f64x2.pmax(x, v128.load(LEAST18)), v128.load(MOST18));
  }
}
