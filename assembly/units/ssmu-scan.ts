// SSMU, int8 state: update and readout of one channel (docs/numerics.md section 3.3), eight groups of 16 values at a time.
//
// Every shift is a rounding multiply by a power of two out of a table, since a SIMD shift by a variable costs three more instructions:
//   rsh(x, s) = (x · 2^(15-s) + 2^14) >> 15,      (x + d) >> s = rsh(x + d - 2^(s-1), s) for 0 <= d < 2^s.
// The dither tables hold d - 2^(s-1) for each s. Exponents, maxima and readout terms of the eight groups are lanes of one vector.
import { stateGroups } from "../config";
import { STATE_EXPONENT_MAX, STATE_EXPONENT_MIN, STATE_GROUP } from "../contract";
import { allocate } from "../memory";
import { DITHER1, DITHER2 } from "../tables.generated";
import { Lanes } from "./lanes";

/** What the channels of a head share in one token. */
@unmanaged
export class HeadStep {
  t: u32;
  k: i32; //         whole halvings of this token
  f: i32; //         F, Q24
  bCodes: usize; //  i16 [Np] of the head's group
  cCodes: usize; //  i16 [Np]
  exponent: i32; //  of dt·x codes times B codes
  readShift: i32; // -(C's exponent + 12)
}

/** Dither index: i = (t + 11·n + 57·channel) mod 256. */
const DITHER_N: i32 = 11;
const DITHER_CHANNEL: i32 = 57;
/** A shift's power of two, then its dither rows: i16 [8], i8 [256][16]. Shift amounts are kept as offsets of these. */
const SHIFT_BYTES: i32 = 16 + 256 * STATE_GROUP;
const SHIFTS: i32 = 9;

/** Channels whose steps are interleaved: one alone would wait for its own results at each of them. */
export const SCAN_CHANNELS: i32 = 8;

/** What eight groups of a channel hand from step to step. A row is a + b (i16 [16]) and its maxima (i16 [8]), or readout sums (i32 [4]). */
const ROW_BYTES: usize = 48;
const ROW_TERMS: usize = 32;
const SHIFT_STATE: usize = 8 * ROW_BYTES; //  u16 [8], sa
const SHIFT_COARSE: usize = SHIFT_STATE + 16; // u16 [8], s beyond 8
const SHIFT_INPUT: usize = SHIFT_STATE + 32; // u16 [8], s up to 8
const SHIFT_CODES: usize = SHIFT_STATE + 48; // u16 [8], r
const LANES: usize = SHIFT_STATE + 64; //       i16 [8], lanes of a vector that need a second look
const WORKING: usize = SHIFT_STATE + 80; //     i16 [8], ew
const COARSE: usize = SHIFT_STATE + 96; //      i32, 1: some s is beyond 8
const EXPONENTS: usize = SHIFT_STATE + 112; //  i16 [8], of the codes
const ROW_INPUT: usize = SHIFT_STATE + 128; //  u16 [8], s up to 8, and within it the dither's row
const ROW_CODES: usize = SHIFT_STATE + 144; //  u16 [8], the same of r
const DITHER_ROWS: usize = SHIFT_STATE + 160; // i16 [8], rows of the groups
const CHANNEL_BYTES: usize = SHIFT_STATE + 176;
export const SCAN_SCRATCH: usize = <usize>SCAN_CHANNELS * CHANNEL_BYTES;

/** Readout terms saturate here, so that 32 of them fit int32. */
export const TERM_LIMIT: i32 = 0x3ffffff;

const CONSTANTS: usize = memory.data(16 * 32, 16);
const POWERS: usize = CONSTANTS; //              2^(14-s), s = 0..15, the last one 0
const THRESHOLDS: usize = CONSTANTS + 16 * 16; // 127 · 2^j, j = 0..7
const EXPONENT_MIN: usize = CONSTANTS + 16 * 24;
const EXPONENT_MAX: usize = CONSTANTS + 16 * 25;
const SEVEN: usize = CONSTANTS + 16 * 26;
const EIGHT: usize = CONSTANTS + 16 * 27;
const FIFTEEN: usize = CONSTANTS + 16 * 28;
const SHIFT_OFFSETS: usize = CONSTANTS + 16 * 29; // SHIFT_BYTES
const ZERO: usize = CONSTANTS + 16 * 30;
const ROWS: usize = memory.data(16 * 2, 16); // offsets of the groups' dither rows from the first, and the mask of a row
const TERMS: usize = memory.data(16 * 5, 16);
const LEAST_SHIFT: usize = TERMS; //        i32 -24
const MOST_SHIFT: usize = TERMS + 16; //    i32 100
const FLOAT_BIAS: usize = TERMS + 32; //    i32 127
const HALF: usize = TERMS + 48; //          f32 0.5
const LARGEST_TERM: usize = TERMS + 64; //  i32

/** Addresses of the shifts' tables; row i of the dither holds places i, i + 11, …; the second is of one t >> 8. */
@unmanaged
class Dither {
  first: usize;
  second: usize;
  slow: i32;
}
const dither: Dither = changetype<Dither>(memory.data(offsetof<Dither>(), 16));

export function allocateScan(): void {
  for (let s = 0; s < 16; s++) splat(POWERS + ((<usize>s) << 4), (1 << 14) >> s);
  for (let j = 0; j < 8; j++) splat(THRESHOLDS + ((<usize>j) << 4), 127 << j);
  splat(EXPONENT_MIN, STATE_EXPONENT_MIN);
  splat(EXPONENT_MAX, STATE_EXPONENT_MAX);
  splat(SEVEN, 7);
  splat(EIGHT, 8);
  splat(FIFTEEN, 15);
  splat(SHIFT_OFFSETS, SHIFT_BYTES);
  for (let g = 0; g < 8; g++) store<i16>(ROWS + ((<usize>g) << 1), <i16>((ROW_STEP * g) & ROW_MASK));
  splat(ROWS + 16, ROW_MASK);
  v128.store(LEAST_SHIFT, i32x4.splat(-24));
  v128.store(MOST_SHIFT, i32x4.splat(100));
  v128.store(FLOAT_BIAS, i32x4.splat(127));
  v128.store(HALF, f32x4.splat(0.5));
  v128.store(LARGEST_TERM, i32x4.splat(TERM_LIMIT));
  dither.first = allocate(SHIFTS * SHIFT_BYTES);
  dither.second = allocate(SHIFTS * SHIFT_BYTES);
  // 2^(15-r) for codes; the one for r = 0 is -2^15, it negates
  spreadDither(dither.first, DITHER1, 0, 15);
  dither.slow = -1;
}

function splat(at: usize, value: i32): void {
  v128.store(at, i16x8.splat(<i16>value));
}

/** Before the tokens of one t >> 8: the second permutation changes with it. */
export function prepareDither(t: u32): void {
  const slow = bitReverse8(t >> 8);
  if (dither.slow == slow) return;
  spreadDither(dither.second, DITHER2, slow, 14);
  dither.slow = slow;
}

function bitReverse8(x: u32): i32 {
  let r = x & 0xff;
  r = ((r & 0xf0) >> 4) | ((r & 0x0f) << 4);
  r = ((r & 0xcc) >> 2) | ((r & 0x33) << 2);
  return ((r & 0xaa) >> 1) | ((r & 0x55) << 1);
}

/** For each shift s: 2^(power - s), then d >> (8 - s) less half a unit of the result. */
function spreadDither(out: usize, permutation: usize, slow: i32, power: i32): void {
  for (let s = 0; s < SHIFTS; s++) {
    splat(out, (1 << power) >> s);
    out += 16;
    for (let i = 0; i < 256; i++) {
      for (let j = 0; j < STATE_GROUP; j++) {
        const d = <i32>load<u8>(permutation + <usize>((i + DITHER_N * j) & 255)) ^ slow;
        store<i8>(out++, s == 0 ? 0 : <i8>((d >> (8 - s)) - (1 << (s - 1))));
      }
    }
  }
}

/** DITHER1 as it is, for a group: 16 unsigned bytes. */
export class WholeDither {
  static row(t: u32, channel: i32, g: i32): v128 {
    const i = (<i32>t + DITHER_CHANNEL * channel + DITHER_N * STATE_GROUP * g) & 255;
    const row = v128.load(dither.first + <usize>((SHIFTS - 1) * SHIFT_BYTES + 16 + i * STATE_GROUP));
    return v128.xor(row, i8x16.splat(-128));
  }
}

/**
 * Up to SCAN_CHANNELS channels from `channel` on: codes i8 [channels][Np] and exponents i8 [channels][Np/16] in place; q i32 [channels], their dt·x.
 * y i32 [channels]: Σ h·C in Q12, before 2^-F.
 */
export function scanChannels(
  step: HeadStep,
  codes: usize,
  exponents: usize,
  q: usize,
  channel: i32,
  channels: i32,
  y: usize,
  scratch: usize,
): void {
  const groups = stateGroups();
  const channelCodes = <usize>(groups * STATE_GROUP);
  const end = scratch + <usize>channels * CHANNEL_BYTES;
  for (let g = 0; g < groups; g += 8) {
    const count = min(groups - g, 8);
    const n = <usize>(g * STATE_GROUP);
    const firstRow = (<i32>step.t + DITHER_CHANNEL * channel + DITHER_N * STATE_GROUP * g) * STATE_GROUP;
    let h = codes + n;
    let e = exponents + g;
    let row = firstRow;
    for (let s = scratch; s < end; s += CHANNEL_BYTES, h += channelCodes, e += groups, row += CHANNEL_ROWS) {
      Scan.align(step, h, e, row, count, s);
    }
    h = codes + n;
    let value = q;
    for (let s = scratch; s < end; s += CHANNEL_BYTES, h += channelCodes, value += 4) {
      const b = step.bCodes + 2 * n;
      if (load<i32>(s, COARSE)) Scan.addInput(h, load<i32>(value), b, count, s, true);
      else Scan.addInput(h, load<i32>(value), b, count, s, false);
    }
    e = exponents + g;
    for (let s = scratch; s < end; s += CHANNEL_BYTES, e += groups) Scan.scale(e, count, s);
    h = codes + n;
    for (let s = scratch; s < end; s += CHANNEL_BYTES, h += channelCodes) Scan.store(h, step.cCodes + 2 * n, count, s);
    let out = y;
    for (let s = scratch; s < end; s += CHANNEL_BYTES, out += 4) {
      const sum = Scan.read(step, s);
      store<i32>(out, g == 0 ? sum : load<i32>(out) + sum);
    }
  }
}

/** Byte offset of a group's dither row. */
const ROW_MASK: i32 = 255 * STATE_GROUP;
const ROW_STEP: i32 = DITHER_N * STATE_GROUP * STATE_GROUP;
const CHANNEL_ROWS: i32 = DITHER_CHANNEL * STATE_GROUP;

class Scan {
  /** Shifts that bring state and input of up to eight groups to one working exponent each; a state that has faded is emptied. */
  @inline
  static align(step: HeadStep, codes: usize, exponents: usize, row: i32, count: i32, scratch: usize): void {
    const floor = v128.load(EXPONENT_MIN);
    const zero = v128.load(ZERO);
    let eh = i16x8.sub(v128.load8x8_s(exponents), i16x8.splat(<i16>step.k));
    const faded = i16x8.lt_s(eh, floor);
    if (v128.any_true(faded)) Scan.clear(faded, codes, 16, count, scratch);
    eh = i16x8.max_s(eh, floor);
    const ea = i16x8.sub(eh, v128.load(SEVEN));
    const ew = i16x8.max_s(ea, i16x8.splat(<i16>step.exponent));
    const s = i16x8.sub(ew, i16x8.splat(<i16>step.exponent));
    const eight = v128.load(EIGHT);
    const fifteen = v128.load(FIFTEEN);
    const coarse = i16x8.max_s(i16x8.sub(s, eight), zero);
    v128.store(scratch, i16x8.shl(i16x8.min_s(i16x8.sub(ew, ea), fifteen), 4), SHIFT_STATE);
    v128.store(scratch, i16x8.shl(i16x8.min_s(coarse, fifteen), 4), SHIFT_COARSE);
    const input = i16x8.mul(i16x8.min_s(s, eight), v128.load(SHIFT_OFFSETS));
    const rows = v128.and(i16x8.add(i16x8.splat(<i16>row), v128.load(ROWS)), v128.load(ROWS, 16));
    v128.store(scratch, input, SHIFT_INPUT);
    v128.store(scratch, i16x8.add(input, rows), ROW_INPUT);
    v128.store(scratch, rows, DITHER_ROWS);
    v128.store(scratch, ew, WORKING);
    store<i32>(scratch, <i32>v128.any_true(coarse), COARSE);
  }

  /** Zeroes the groups that `lanes` names: `size` bytes each at `at`. */
  static clear(lanes: v128, at: usize, size: usize, count: i32, scratch: usize): void {
    v128.store(scratch, lanes, LANES);
    for (let g = 0; g < count; g++) {
      if (load<i16>(scratch + ((<usize>g) << 1), LANES) != 0) memory.fill(at + <usize>g * size, 0, size);
    }
  }

  /** Sums a + b of each group, and the largest magnitude of each of their lanes. coarse: some s is beyond 8. */
  @inline
  static addInput(codes: usize, q: i32, b: usize, count: i32, scratch: usize, coarse: bool): void {
    const x2 = i16x8.splat(<i16>(2 * q));
    const shifts = dither.second;
    const zero = v128.load(ZERO);
    let lane = scratch;
    let sums = scratch;
    for (const end = lane + <usize>(2 * count); lane != end; lane += 2) {
      const h = v128.load(codes);
      const sa = v128.load(<usize>load<u16>(lane, SHIFT_STATE), POWERS);
      // h · 256 in int16, shifted by one more than h · 128
      const a0 = Lanes.mulr(Lanes.unpackLow8(zero, h), sa);
      const a1 = Lanes.mulr(Lanes.unpackHigh8(zero, h), sa);
      // 2 q · B, so that no shift at all is 2^14 of the table
      let b0 = i16x8.mul(x2, v128.load(b));
      let b1 = i16x8.mul(x2, v128.load(b, 16));
      if (coarse) {
        const beyond = v128.load(<usize>load<u16>(lane, SHIFT_COARSE), POWERS);
        b0 = i16x8.shl(Lanes.mulr(b0, beyond), 1);
        b1 = i16x8.shl(Lanes.mulr(b1, beyond), 1);
      }
      const sb = v128.load(shifts + <usize>load<u16>(lane, SHIFT_INPUT));
      const d = v128.load(shifts + <usize>load<u16>(lane, ROW_INPUT), 16);
      b0 = Lanes.mulr(i16x8.add(b0, i16x8.shr_s(Lanes.unpackLow8(zero, d), 7)), sb);
      b1 = Lanes.mulr(i16x8.add(b1, i16x8.shr_s(Lanes.unpackHigh8(zero, d), 7)), sb);
      b0 = i16x8.add(a0, b0);
      b1 = i16x8.add(a1, b1);
      v128.store(sums, b0);
      v128.store(sums, b1, 16);
      v128.store(sums, i16x8.max_s(i16x8.abs(b0), i16x8.abs(b1)), ROW_TERMS);
      codes += STATE_GROUP;
      b += 2 * STATE_GROUP;
      sums += ROW_BYTES;
    }
  }

  /** Shifts from sums to codes, and the exponents of these. */
  @inline
  static scale(exponents: usize, count: i32, scratch: usize): void {
    const magnitude = Scan.maxima(scratch);
    const r = Scan.shifts(magnitude);
    let eh = i16x8.add(v128.load(scratch, WORKING), r);
    const shift = i16x8.mul(r, v128.load(SHIFT_OFFSETS));
    v128.store(scratch, shift, SHIFT_CODES);
    v128.store(scratch, i16x8.add(shift, v128.load(scratch, DITHER_ROWS)), ROW_CODES);
    const zero = v128.load(ZERO);
    const whole = i16x8.eq(r, zero);
    const floor = v128.load(EXPONENT_MIN);
    const faded = v128.or(i16x8.lt_s(eh, floor), i16x8.eq(magnitude, zero));
    if (v128.any_true(v128.or(whole, faded))) {
      Scan.clear(faded, scratch, ROW_BYTES, count, scratch);
      Scan.negate(whole, count, scratch);
      eh = v128.bitselect(floor, eh, faded);
    }
    eh = i16x8.min_s(eh, v128.load(EXPONENT_MAX));
    v128.store(scratch, eh, EXPONENTS);
    const bytes = i8x16.narrow_i16x8_s(eh, eh);
    if (count == 8) {
      v128.store64_lane(exponents, bytes, 0);
    } else {
      v128.store(scratch, bytes, LANES);
      memory.copy(exponents, scratch + LANES, count);
    }
  }

  /** The readout of up to eight groups. */
  @inline
  static read(step: HeadStep, scratch: usize): i32 {
    const e = v128.load(scratch, EXPONENTS);
    const low = Scan.terms(step, scratch, i32x4.extend_low_i16x8_s(e));
    const high = Scan.terms(step, scratch + 4 * ROW_BYTES, i32x4.extend_high_i16x8_s(e));
    return Lanes.sum(i32x4.add(low, high));
  }

  /** Lane g: the largest lane of row g's maxima. */
  @inline
  static maxima(rows: usize): v128 {
    const m0 = Scan.max16(v128.load(rows, ROW_TERMS), v128.load(rows, ROW_TERMS + ROW_BYTES));
    const m1 = Scan.max16(v128.load(rows, ROW_TERMS + 2 * ROW_BYTES), v128.load(rows, ROW_TERMS + 3 * ROW_BYTES));
    const m2 = Scan.max16(v128.load(rows, ROW_TERMS + 4 * ROW_BYTES), v128.load(rows, ROW_TERMS + 5 * ROW_BYTES));
    const m3 = Scan.max16(v128.load(rows, ROW_TERMS + 6 * ROW_BYTES), v128.load(rows, ROW_TERMS + 7 * ROW_BYTES));
    const n0 = i16x8.max_s(Lanes.unpackLow32(m0, m1), Lanes.unpackHigh32(m0, m1));
    const n1 = i16x8.max_s(Lanes.unpackLow32(m2, m3), Lanes.unpackHigh32(m2, m3));
    return i16x8.max_s(Lanes.unpackLow64(n0, n1), Lanes.unpackHigh64(n0, n1));
  }

  /** Smallest r with m <= 127 · 2^r: how many of the eight thresholds m exceeds. */
  @inline
  static shifts(m: v128): v128 {
    const r01 = i16x8.add(i16x8.gt_s(m, v128.load(THRESHOLDS)), i16x8.gt_s(m, v128.load(THRESHOLDS, 16)));
    const r23 = i16x8.add(i16x8.gt_s(m, v128.load(THRESHOLDS, 32)), i16x8.gt_s(m, v128.load(THRESHOLDS, 48)));
    const r45 = i16x8.add(i16x8.gt_s(m, v128.load(THRESHOLDS, 64)), i16x8.gt_s(m, v128.load(THRESHOLDS, 80)));
    const r67 = i16x8.add(i16x8.gt_s(m, v128.load(THRESHOLDS, 96)), i16x8.gt_s(m, v128.load(THRESHOLDS, 112)));
    return i16x8.neg(i16x8.add(i16x8.add(r01, r23), i16x8.add(r45, r67)));
  }

  @inline
  static max16(x: v128, y: v128): v128 {
    return i16x8.max_s(Lanes.unpackLow(x, y), Lanes.unpackHigh(x, y));
  }

  /** Where r is 0 the multiplier of finish negates: so must the sums. */
  static negate(lanes: v128, count: i32, scratch: usize): void {
    v128.store(scratch, lanes, LANES);
    for (let g = 0; g < count; g++) {
      if (load<i16>(scratch + ((<usize>g) << 1), LANES) == 0) continue;
      const at = scratch + <usize>g * ROW_BYTES;
      v128.store(at, i16x8.neg(v128.load(at)));
      v128.store(at, i16x8.neg(v128.load(at, 16)), 16);
    }
  }

  /** Codes of each group, and their products with C. */
  @inline
  static store(codes: usize, c: usize, count: i32, scratch: usize): void {
    const shifts = dither.first;
    let lane = scratch;
    let sums = scratch;
    for (const end = lane + <usize>(2 * count); lane != end; lane += 2) {
      const power = v128.load(shifts + <usize>load<u16>(lane, SHIFT_CODES));
      const d = v128.load(shifts + <usize>load<u16>(lane, ROW_CODES), 16);
      const h0 = Lanes.mulr(i16x8.add(v128.load(sums), i16x8.extend_low_i8x16_s(d)), power);
      const h1 = Lanes.mulr(i16x8.add(v128.load(sums, 16), i16x8.extend_high_i8x16_s(d)), power);
      v128.store(codes, i8x16.narrow_i16x8_s(h0, h1));
      const read = i32x4.add(i32x4.dot_i16x8_s(h0, v128.load(c)), i32x4.dot_i16x8_s(h1, v128.load(c, 16)));
      v128.store(sums, read, ROW_TERMS);
      codes += STATE_GROUP;
      c += 2 * STATE_GROUP;
      sums += ROW_BYTES;
    }
    for (let g = count; g < 8; g++) {
      v128.store(sums, i32x4.splat(0), ROW_TERMS);
      sums += ROW_BYTES;
    }
  }

  /**
   * Four readout sums in Q12: clamp(rsh(sum, shift)), shift at least -24. In FP32, exactly: a sum has 19 bits, so that scaling it is exact,
   * and so is adding one half wherever the floor depends on it.
   */
  @inline
  static terms(step: HeadStep, rows: usize, exponents: v128): v128 {
    const p0 = Scan.add32(v128.load(rows, ROW_TERMS), v128.load(rows, ROW_TERMS + ROW_BYTES));
    const p1 = Scan.add32(v128.load(rows, ROW_TERMS + 2 * ROW_BYTES), v128.load(rows, ROW_TERMS + 3 * ROW_BYTES));
    const sums = i32x4.add(Lanes.unpackLow64(p0, p1), Lanes.unpackHigh64(p0, p1));
    let shift = i32x4.sub(i32x4.splat(step.readShift), exponents);
    shift = i32x4.min_s(i32x4.max_s(shift, v128.load(LEAST_SHIFT)), v128.load(MOST_SHIFT));
    const scale = i32x4.shl(i32x4.sub(v128.load(FLOAT_BIAS), shift), 23);
    const scaled = f32x4.floor(f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sums), scale), v128.load(HALF)));
    const limit = v128.load(LARGEST_TERM);
    return i32x4.max_s(i32x4.min_s(Lanes.truncate(scaled), limit), i32x4.neg(limit));
  }

  @inline
  static add32(x: v128, y: v128): v128 {
    return i32x4.add(Lanes.unpackLow32(x, y), Lanes.unpackHigh32(x, y));
  }
}
