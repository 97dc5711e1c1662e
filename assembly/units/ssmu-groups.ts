// SSMU, int8 state: the steps of update and readout for eight groups of 16 values of a channel (docs/numerics.md section 3.3).
//
// Shifts are multiplications by powers of two, since a SIMD shift by a variable costs three more instructions:
//   rsh(x, s) = (x · 2^(15-s) + 2^14) >> 15, the rounding multiplication;
//   (acc + (d1 >> (8 - r))) >> r = (acc · 2^(8-r) + d1) >> 8, which never leaves int16.
// Exponents, maxima and readout terms of the eight groups are lanes of one vector. g is a constant wherever it appears: an address is a pointer
// plus a constant.
import { STATE_EXPONENT_MAX, STATE_EXPONENT_MIN } from "../contract";
import { LEAST_SHIFT, MOST_SHIFT, ROW_BYTES, ROW_POWERS, SHIFT_ROWS } from "./dither";
import { Lanes } from "./lanes";

/** What the channels of a head share in one token. */
@unmanaged
export class HeadStep {
  t: u32;
  k: i32; //         whole halvings of this token
  f: i32; //         F, Q24
  bCodes: usize; //  i16 [Np] of the head's group, zeros up to a multiple of 128
  cCodes: usize; //  i16 [Np], likewise
  exponent: i32; //  of dt·x codes times B codes
  readShift: i32; // -(C's exponent + 12)
  head: i32;
  products: usize; // i32 [P padded to 8], mantissa · x of the head, then dt·x to int8
  mantissa: i32; //  of dt · 2^F
  fade: f64; //      2^-F
  skip: f64; //      D of the head, as what x is multiplied with
  scan: usize; //    for the add-on: ScanPlaces and GatePlaces of ssmu-native.ts, 0 where that part is not to be done
  gate: usize;
}

/** What eight groups of a channel hand from step to step. */
const SUMS: usize = 0; //         i16 [8][16], a + b
const SHIFT_ROW: usize = 256; //  u16 [8], offset of a group's row of SHIFT_ROWS
const WORKING: usize = 272; //    i16 [8], ew
const MAGNITUDE: usize = 288; //  i16 [8], M
const CODE_SHIFT: usize = 304; // u16 [8], offset of 2^(8-r) in CODE_POWERS
const EXPONENTS: usize = 320; //  i16 [8], of the codes
const READ: usize = 336; //       i32 [8], Σ h·C of each group
const COARSE: usize = 368; //     u16 [8], 16·(s - 8) where the shift of an input is beyond 8
export const SHIFTED: usize = 384; //    i32, groups whose input is shifted; from bit 8 on, by more than 8
export const CHANNEL_BYTES: usize = 400;
/** Readout terms saturate here, so that 32 of them fit int32. */
export const TERM_LIMIT: i32 = 0x3ffffff;

const CONSTANTS: usize = memory.data(16 * 14, 16);
const ZERO: usize = CONSTANTS;
const ONE: usize = CONSTANTS + 16;
const SEVEN: usize = CONSTANTS + 32;
const FIFTEEN: usize = CONSTANTS + 48;
const EXPONENT_MIN: usize = CONSTANTS + 64;
const EXPONENT_MAX: usize = CONSTANTS + 80;
const ROW: usize = CONSTANTS + 96; //          ROW_BYTES
const UNSHIFTED: usize = CONSTANTS + 112; //   row of u = 0, the last of those that leave the input as it is
const LAST_ROW: usize = CONSTANTS + 128;
const LEAST_SCALE: usize = CONSTANTS + 144; // exponents of FP32: 127 - 100
const MOST_SCALE: usize = CONSTANTS + 160; //  127 + 24
const HALF: usize = CONSTANTS + 176; //        f32 0.5
const BEYOND: usize = CONSTANTS + 192; //      f32 TERM_LIMIT + 1
const LARGEST_TERM: usize = CONSTANTS + 208; // i32
const COARSE_POWERS: usize = memory.data(16 * 16, 16); // -2^(15-s), s = 0..15, the last one 0
const CODE_POWERS: usize = memory.data(16 * 16, 16); //   2^(8-r), r = 0..15
/** bitlen of 0..15, and of 16 times that. */
const LENGTHS: usize = memory.data<u8>([0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4], 16);
const HIGH_LENGTHS: usize = memory.data<u8>([0, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8], 16);

export function allocateScan(): void {
  splat(ZERO, 0);
  splat(ONE, 1);
  splat(SEVEN, 7);
  splat(FIFTEEN, 15);
  splat(EXPONENT_MIN, STATE_EXPONENT_MIN);
  splat(EXPONENT_MAX, STATE_EXPONENT_MAX);
  splat(ROW, ROW_BYTES);
  splat(UNSHIFTED, -LEAST_SHIFT);
  splat(LAST_ROW, MOST_SHIFT - LEAST_SHIFT);
  splat(LEAST_SCALE, 27);
  splat(MOST_SCALE, 151);
  for (let s = 0; s < 16; s++) {
    splat(COARSE_POWERS + ((<usize>s) << 4), s == 15 ? 0 : -(<i32>0x8000 >> s));
    splat(CODE_POWERS + ((<usize>s) << 4), <i32>0x100 >> s);
  }
  v128.store(HALF, f32x4.splat(0.5));
  v128.store(BEYOND, f32x4.splat(<f32>(TERM_LIMIT + 1)));
  v128.store(LARGEST_TERM, i32x4.splat(TERM_LIMIT));
}

function splat(at: usize, value: i32): void {
  v128.store(at, i16x8.splat(<i16>value));
}

export class Scan {
  /**
   * How state and input of eight groups come to one working exponent each. A state that has faded is shifted out; the input beside it is never
   * shifted, since its exponent is at least -71.
   */
  @inline
  static align(step: HeadStep, exponents: usize, at: usize): void {
    const floor = v128.load(EXPONENT_MIN);
    const fresh = i16x8.sub(v128.load8x8_s(exponents), i16x8.splat(<i16>step.k));
    const eh = i16x8.max_s(fresh, floor);
    v128.store(at, i16x8.max_s(i16x8.sub(eh, v128.load(SEVEN)), i16x8.splat(<i16>step.exponent)), WORKING);
    const row = i16x8.sub(eh, i16x8.splat(<i16>(step.exponent + 7 + LEAST_SHIFT)));
    const last = v128.load(LAST_ROW);
    const inside = i16x8.min_s(i16x8.max_s(row, v128.load(ZERO)), last);
    v128.store(at, i16x8.mul(v128.andnot(inside, i16x8.lt_s(fresh, floor)), v128.load(ROW)), SHIFT_ROW);
    const shifted = i16x8.gt_s(row, v128.load(UNSHIFTED));
    const lanes = i8x16.bitmask(i8x16.narrow_i16x8_s(shifted, i16x8.gt_s(row, last)));
    store<i32>(at, lanes, SHIFTED);
    if (lanes > 255) Scan.coarse(i16x8.sub(row, inside), at);
  }

  static coarse(beyond: v128, at: usize): void {
    v128.store(at, i16x8.shl(i16x8.min_s(i16x8.max_s(beyond, v128.load(ZERO)), v128.load(FIFTEEN)), 4), COARSE);
  }

  /**
   * a + b of eight groups, and of each the largest magnitude. Where some input is shifted (coarse: some by more than 8) x is -q, since 2^15
   * is no int16; else x is q.
   */
  @inline
  static sums(codes: usize, x: v128, b: usize, dither: usize, at: usize, shifted: bool, coarse: bool): void {
    const m0 = Scan.sum2(codes, x, b, dither, at, 0, shifted, coarse);
    const m1 = Scan.sum2(codes, x, b, dither, at, 2, shifted, coarse);
    // Stored, or the compiler would leave the maxima for later, and keep sixteen sums until then.
    v128.store(at, i16x8.max_s(Lanes.unpackLow32(m0, m1), Lanes.unpackHigh32(m0, m1)), MAGNITUDE);
    const m2 = Scan.sum2(codes, x, b, dither, at, 4, shifted, coarse);
    const m3 = Scan.sum2(codes, x, b, dither, at, 6, shifted, coarse);
    const n1 = i16x8.max_s(Lanes.unpackLow32(m2, m3), Lanes.unpackHigh32(m2, m3));
    const n0 = v128.load(at, MAGNITUDE);
    v128.store(at, i16x8.max_s(Lanes.unpackLow64(n0, n1), Lanes.unpackHigh64(n0, n1)), MAGNITUDE);
  }

  /** Apart from the others, or they would share code and lose registers by it; hardly ever called. */
  static sumsCoarse(codes: usize, x: v128, b: usize, dither: usize, at: usize): void {
    Scan.sums(codes, x, b, dither, at, true, true);
  }

  /** Of groups g and g + 1; their magnitudes alternate. */
  @inline
  static sum2(codes: usize, x: v128, b: usize, dither: usize, at: usize, g: usize, shifted: bool, coarse: bool): v128 {
    const m0 = Scan.sum(codes, x, b, dither, at, g, shifted, coarse);
    const m1 = Scan.sum(codes, x, b, dither, at, g + 1, shifted, coarse);
    return i16x8.max_s(Lanes.unpackLow(m0, m1), Lanes.unpackHigh(m0, m1));
  }

  @inline
  static sum(codes: usize, x: v128, b: usize, dither: usize, at: usize, g: usize, shifted: bool, coarse: bool): v128 {
    const row = <usize>load<u16>(at + (SHIFT_ROW + 2 * g));
    const h = v128.load(codes + 16 * g);
    const zero = v128.load(ZERO);
    const sa = v128.load(row, SHIFT_ROWS);
    let b0 = i16x8.mul(x, v128.load(b + 32 * g));
    let b1 = i16x8.mul(x, v128.load(b + (32 * g + 16)));
    if (coarse) {
      const beyond = v128.load(<usize>load<u16>(at + (COARSE + 2 * g)), COARSE_POWERS);
      b0 = i16x8.neg(Lanes.mulr(b0, beyond));
      b1 = i16x8.neg(Lanes.mulr(b1, beyond));
    }
    if (shifted) {
      const sb = v128.load(row, SHIFT_ROWS + 16);
      const run = row + dither;
      b0 = Lanes.mulr(i16x8.add(b0, v128.load(run + (ROW_POWERS + 32 * g))), sb);
      b1 = Lanes.mulr(i16x8.add(b1, v128.load(run + (ROW_POWERS + 32 * g + 16))), sb);
    }
    // h · 256 in int16, shifted by one more than h · 128
    b0 = i16x8.add(Lanes.mulr(Lanes.unpackLow8(zero, h), sa), b0);
    b1 = i16x8.add(Lanes.mulr(Lanes.unpackHigh8(zero, h), sa), b1);
    v128.store(at + (SUMS + 32 * g), b0);
    v128.store(at + (SUMS + 32 * g + 16), b1);
    return i16x8.max_s(i16x8.abs(b0), i16x8.abs(b1));
  }

  /** Shifts from sums to codes, and the exponents of these. */
  @inline
  static scale(exponents: usize, at: usize): void {
    const magnitude = v128.load(at, MAGNITUDE);
    const fifteen = v128.load(FIFTEEN);
    // M <= 127 · 2^r where floor((M - 1) / 127) < 2^r
    const less = i16x8.shr_u(i16x8.sub_sat_u(magnitude, v128.load(ONE)), 7);
    const above = i16x8.shr_u(i16x8.add(magnitude, less), 7);
    const low = Lanes.choose(v128.load(LENGTHS), v128.and(above, fifteen));
    const r = i16x8.max_s(low, Lanes.choose(v128.load(HIGH_LENGTHS), i16x8.shr_u(above, 4)));
    let eh = i16x8.add(v128.load(at, WORKING), r);
    const floor = v128.load(EXPONENT_MIN);
    const faded = v128.or(i16x8.lt_s(eh, floor), i16x8.eq(magnitude, v128.load(ZERO)));
    v128.store(at, i16x8.shl(v128.or(r, v128.and(faded, fifteen)), 4), CODE_SHIFT);
    eh = i16x8.min_s(v128.bitselect(floor, eh, faded), v128.load(EXPONENT_MAX));
    v128.store(at, eh, EXPONENTS);
    v128.store64_lane(exponents, i8x16.narrow_i16x8_s(eh, eh), 0);
  }

  /** Codes of eight groups, and the sums of their products with C. */
  @inline
  static store(codes: usize, c: usize, dither: usize, at: usize): void {
    v128.store(at, Scan.store4(codes, c, dither, at, 0), READ);
    v128.store(at, Scan.store4(codes, c, dither, at, 4), READ + 16);
  }

  @inline
  static store4(codes: usize, c: usize, dither: usize, at: usize, g: usize): v128 {
    const p0 = Scan.add32(Scan.store1(codes, c, dither, at, g), Scan.store1(codes, c, dither, at, g + 1));
    const p1 = Scan.add32(Scan.store1(codes, c, dither, at, g + 2), Scan.store1(codes, c, dither, at, g + 3));
    return i32x4.add(Lanes.unpackLow64(p0, p1), Lanes.unpackHigh64(p0, p1));
  }

  @inline
  static store1(codes: usize, c: usize, dither: usize, at: usize, g: usize): v128 {
    const power = v128.load(<usize>load<u16>(at + (CODE_SHIFT + 2 * g)), CODE_POWERS);
    const s0 = i16x8.mul(v128.load(at + (SUMS + 32 * g)), power);
    const s1 = i16x8.mul(v128.load(at + (SUMS + 32 * g + 16)), power);
    const h0 = i16x8.shr_s(i16x8.add(s0, v128.load(dither + 32 * g)), 8);
    const h1 = i16x8.shr_s(i16x8.add(s1, v128.load(dither + (32 * g + 16))), 8);
    v128.store(codes + 16 * g, i8x16.narrow_i16x8_s(h0, h1));
    const read0 = i32x4.dot_i16x8_s(h0, v128.load(c + 32 * g));
    return i32x4.add(read0, i32x4.dot_i16x8_s(h1, v128.load(c + (32 * g + 16))));
  }

  /**
   * The readout of eight groups in Q12: clamp(rsh(sum, shift)) each, shift at least -24. In FP32, exactly: a sum has 19 bits, so that scaling
   * it is exact, and so is adding one half wherever the floor depends on it.
   */
  @inline
  static read(step: HeadStep, at: usize): i32 {
    const bias = i16x8.splat(<i16>(127 - step.readShift));
    const exponent = i16x8.add(v128.load(at, EXPONENTS), bias);
    const scale = i16x8.shl(i16x8.min_s(i16x8.max_s(exponent, v128.load(LEAST_SCALE)), v128.load(MOST_SCALE)), 7);
    const zero = v128.load(ZERO);
    const low = Scan.terms(v128.load(at, READ), Lanes.unpackLow(zero, scale));
    return Lanes.sum(i32x4.add(low, Scan.terms(v128.load(at, READ + 16), Lanes.unpackHigh(zero, scale))));
  }

  @inline
  static terms(sums: v128, scale: v128): v128 {
    const scaled = f32x4.floor(f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sums), scale), v128.load(HALF)));
    const inside = f32x4.pmin(scaled, v128.load(BEYOND));
    const limit = v128.load(LARGEST_TERM);
    return i32x4.max_s(i32x4.min_s(Lanes.truncate(inside), limit), i32x4.neg(limit));
  }

  @inline
  static add32(x: v128, y: v128): v128 {
    return i32x4.add(Lanes.unpackLow32(x, y), Lanes.unpackHigh32(x, y));
  }
}
