// NQU, norm-and-quantize unit: a vector to small signed codes, and the sum of squares RMSNorm needs
// (docs/numerics.md section 3.1, docs/units/nqu.md). The norm's factor is a scalar and never touches the codes.
import { ACTIVATION_GROUP, WEIGHT_GROUP } from "../contract";
import { rsh } from "../fixed";
import { quantize as native } from "../native";
import { CODE_BYTES, Codes, codesOf, finishGroup } from "./codes";
import { Lanes } from "./lanes";

/** Fraction bits of x, the value that codes and sum of squares are made from, below 2^exponent. */
const GROUPED_GUARD: i32 = 5;
const WHOLE_GUARD: i32 = 8;

export function guardBits(activationBits: i32): i32 {
  return activationBits == 8 ? WHOLE_GUARD : GROUPED_GUARD;
}

/** i32 [4] each: 2^20, half of a code's unit; 15, the largest code; 127, of 8 bits. */
const CODE_HALF: usize = memory.data<i32>([0x100000, 0x100000, 0x100000, 0x100000], 16);
const FIFTEEN: usize = memory.data<i32>([15, 15, 15, 15], 16);
const LARGEST: usize = memory.data<i32>([127, 127, 127, 127], 16);

/** Quantizes a i32 [k]; entries from K to k must be 0. */
export function quantize(a: usize, codes: Codes): void {
  if (isDefined(NATIVE)) if (native(a, changetype<usize>(codes), memory.size())) return;
  if (codes.bits == 4) quantizeA4(a, codes);
  else if (codes.bits == 8) quantizeA8(a, codes);
  else quantizeSymmetric(a, codes, codes.bits == 5 ? 15 : 31);
}

function store4(at: usize, v: v128): void {
  const narrow = i16x8.narrow_i32x4_s(v, v);
  if (CODE_BYTES == 1) v128.store32_lane(at, i8x16.narrow_i16x8_s(narrow, narrow), 0);
  else v128.store64_lane(at, narrow, 0);
}

function lanesMin(v: v128): i32 {
  const m = i32x4.min_s(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return min(i32x4.extract_lane(m, 0), i32x4.extract_lane(m, 1));
}

/** Σ v² of four int32 lanes, as two int64 lanes added to `sum`. */
function addSquares(sum: v128, v: v128): v128 {
  return i64x2.add(i64x2.add(sum, i64x2.extmul_low_i32x4_s(v, v)), i64x2.extmul_high_i32x4_s(v, v));
}

/** rsh of four lanes; values and results fit int32. */
function rshLanes(v: v128, s: i32): v128 {
  if (s <= 0) return i32x4.shl(v, -s);
  return i32x4.shr_s(i32x4.add(v, i32x4.splat(1 << (s - 1))), s);
}

function lowOf(a: usize): i32 {
  const m0 = i32x4.min_s(v128.load(a), v128.load(a, 16));
  const m1 = i32x4.min_s(v128.load(a, 32), v128.load(a, 48));
  return min(0, lanesMin(i32x4.min_s(m0, m1)));
}

function highOf(a: usize): i32 {
  const m0 = i32x4.max_s(v128.load(a), v128.load(a, 16));
  const m1 = i32x4.max_s(v128.load(a, 32), v128.load(a, 48));
  return max(0, Lanes.max(i32x4.max_s(m0, m1)));
}

function quantizeA4(a: usize, codes: Codes): void {
  const groups = codes.k / ACTIVATION_GROUP;
  let widest: u32 = 0;
  for (let g = 0; g < groups; g++) {
    const at = a + <usize>(g * ACTIVATION_GROUP * 4);
    widest = max(widest, <u32>(highOf(at) - lowOf(at)));
  }
  let e = 0;
  while (<u64>widest > (<u64>3825) << e) e++;
  codes.exponent = e;
  const half = v128.load(CODE_HALF);
  const fifteen = v128.load(FIFTEEN);
  const none = i32x4.splat(0);
  let sum = i64x2.splat(0);
  for (let g = 0; g < groups; g++) {
    const at = a + <usize>(g * ACTIVATION_GROUP * 4);
    const low = lowOf(at);
    const t = <i32>((<u64>(<u32>(highOf(at) - low)) + ((<u64>1) << e) - 1) >> e);
    const sa = max(1, (t + 14) / 15);
    const inverse = (0x10000 + (sa >> 1)) / sa;
    const zero = min(max((-(<i32>rsh(low, e - GROUPED_GUARD)) * inverse + 0x100000) >> 21, 0), 15);
    const out = codesOf(codes, g);
    const factor = i32x4.splat(inverse);
    const origin = i32x4.splat(zero);
    let codeSum = none;
    for (let i = 0; i < ACTIVATION_GROUP; i += 4) {
      const x = rshLanes(v128.load(at + <usize>(i << 2)), e - GROUPED_GUARD);
      sum = addSquares(sum, x);
      const scaled = i32x4.shr_s(i32x4.add(i32x4.mul(x, factor), half), 21);
      const u = i32x4.min_s(i32x4.max_s(i32x4.add(scaled, origin), none), fifteen);
      const v = i32x4.sub(u, origin);
      codeSum = i32x4.add(codeSum, v);
      store4(out + <usize>i * CODE_BYTES, v);
    }
    finishGroup(codes, g, sa, Lanes.sum(codeSum));
  }
  codes.sum = i64x2.extract_lane(sum, 0) + i64x2.extract_lane(sum, 1);
}

/** Groups of 32 with one scale and no zero point; codes in ±levels. Each half of a group keeps the scale. */
function quantizeSymmetric(a: usize, codes: Codes, levels: i32): void {
  let widest: u32 = 0;
  for (let i = 0; i < codes.k; i += ACTIVATION_GROUP) {
    const at = a + ((<usize>i) << 2);
    widest = max(widest, <u32>max(highOf(at), -lowOf(at)));
  }
  let e = 0;
  while (<u64>widest > (<u64>(255 * levels)) << e) e++;
  codes.exponent = e;
  let sum = i64x2.splat(0);
  for (let i = 0; i < codes.k; i += WEIGHT_GROUP) {
    const at = a + ((<usize>i) << 2);
    const second = at + ACTIVATION_GROUP * 4;
    const range = <u32>max(max(highOf(at), -lowOf(at)), max(highOf(second), -lowOf(second)));
    const t = <i32>((<u64>range + ((<u64>1) << e) - 1) >> e);
    const sa = max(1, (t + levels - 1) / levels);
    sum = symmetricHalf(at, codes, i, sa, levels, sum);
    sum = symmetricHalf(second, codes, i + ACTIVATION_GROUP, sa, levels, sum);
  }
  codes.sum = i64x2.extract_lane(sum, 0) + i64x2.extract_lane(sum, 1);
}

/** 16 codes from input `from` on; returns sum + Σ x². */
function symmetricHalf(at: usize, codes: Codes, from: i32, sa: i32, levels: i32, sum: v128): v128 {
  const shift = codes.exponent - GROUPED_GUARD;
  const inverse = i32x4.splat((0x10000 + (sa >> 1)) / sa);
  const half = v128.load(CODE_HALF);
  const limit = i32x4.splat(levels);
  const group = from / ACTIVATION_GROUP;
  const out = codesOf(codes, group);
  let codeSum = i32x4.splat(0);
  for (let i = 0; i < ACTIVATION_GROUP; i += 4) {
    const x = rshLanes(v128.load(at + ((<usize>i) << 2)), shift);
    sum = addSquares(sum, x);
    const scaled = i32x4.shr_s(i32x4.add(i32x4.mul(x, inverse), half), 21);
    const v = i32x4.max_s(i32x4.min_s(scaled, limit), i32x4.neg(limit));
    codeSum = i32x4.add(codeSum, v);
    store4(out + <usize>i * CODE_BYTES, v);
  }
  finishGroup(codes, group, sa, Lanes.sum(codeSum));
  return sum;
}

function quantizeA8(a: usize, codes: Codes): void {
  let largest = i32x4.splat(0);
  for (let i = 0; i < codes.k; i += 4) largest = i32x4.max_s(largest, i32x4.abs(v128.load(a + ((<usize>i) << 2))));
  const magnitude = <i64>Lanes.max(largest);
  let e = 0;
  while (rsh(magnitude, e) > 127) e++;
  codes.exponent = e;
  const limit = v128.load(LARGEST);
  let sum = i64x2.splat(0);
  for (let g = 0; g < codes.k / ACTIVATION_GROUP; g++) {
    const at = a + <usize>(g * ACTIVATION_GROUP * 4);
    const out = codesOf(codes, g);
    let codeSum = i32x4.splat(0);
    for (let i = 0; i < ACTIVATION_GROUP; i += 4) {
      const value = v128.load(at + ((<usize>i) << 2));
      sum = addSquares(sum, rshLanes(value, e - WHOLE_GUARD));
      const v = i32x4.max_s(i32x4.min_s(rshLanes(value, e), limit), i32x4.neg(limit));
      codeSum = i32x4.add(codeSum, v);
      store4(out + <usize>i * CODE_BYTES, v);
    }
    finishGroup(codes, g, 0, Lanes.sum(codeSum));
  }
  codes.sum = i64x2.extract_lane(sum, 0) + i64x2.extract_lane(sum, 1);
}
