// MMU, matrix-multiplication unit: acc = W · v (docs/numerics.md section 3.2, docs/units/mmu.md).
//
// A block is 8 rows. Frame of a block: 64 bytes of scales sw[group 0..7][row 0..7] (128 bytes with groups of 16 inputs), then 128 bytes of
// codes per 32 inputs.
// Byte 2·row + (t & 1) of the 16-byte vector v holds input 4v + t: low nibble for t < 2, high nibble for t >= 2; nibble = code + 8.
// So one SIMD dot gives 8 row sums, and no horizontal add is ever needed. The +8 is taken back by `offset` = 8 · Σ v of the group.
//
// One token streams the weights at the memory's speed (gemv); several share one unpacking of them (gemm). docs/performance.md says what decides.
import { config } from "../config";
import { BLOCK_ROWS, FRAME_INPUTS, FRAME_SCALE_BYTES, GROUP_CODE_BYTES, WEIGHT_GROUP } from "../contract";
import { CODE_BYTES, Codes, RECORD_BYTES, RECORD_OFFSETS, RECORD_SCALES } from "./codes";
import { Lanes } from "./lanes";

/** Unpacked codes of one group of a block, then the scales as pairs of its two halves. */
const UNPACKED_CODES: usize = 2 * GROUP_CODE_BYTES * CODE_BYTES;
const UNPACKED_GROUP: usize = UNPACKED_CODES + 32;
const UNPACKED_FRAME: usize = <usize>(FRAME_INPUTS / WEIGHT_GROUP) * UNPACKED_GROUP;
/** Scratch bytes of gemm: a frame of two blocks. */
export const GEMM_SCRATCH: usize = 2 * UNPACKED_FRAME;
const ONES: usize = memory.data<i16>([1, 1, 1, 1, 1, 1, 1, 1], 16);
/** Bytes of one block's sums: int32 [8]. */
const SUM_BYTES: usize = BLOCK_ROWS * 4;

/** Bytes of a frame's scales. */
function scaleBytes(): i32 {
  return FRAME_SCALE_BYTES * (WEIGHT_GROUP / config.weightGroup);
}

/** Bytes of a block of 8 rows × k inputs (k a multiple of 32): full frames, then a shorter one. */
export function blockBytes(k: i32): i32 {
  const frames = (k + FRAME_INPUTS - 1) / FRAME_INPUTS;
  return frames * scaleBytes() + (k / WEIGHT_GROUP) * GROUP_CODE_BYTES;
}

/**
 * acc i32 [blocks·8] = frames [blocks][block] · codes.
 * Integer throughout; the int16 sums wrap, their final value never leaves int16.
 */
export function gemv(acc: usize, frames: usize, codes: Codes, blocks: i32): void {
  const grouped = codes.bits != 8;
  if (config.weightGroup == WEIGHT_GROUP) {
    if (grouped) Gemv.run(acc, frames, codes, blocks, true, 0);
    else Gemv.run(acc, frames, codes, blocks, false, 0);
  } else if (grouped) Gemv.run(acc, frames, codes, blocks, true, BLOCK_ROWS);
  else Gemv.run(acc, frames, codes, blocks, false, BLOCK_ROWS);
}

class Gemv {
  /**
   * grouped: activations have a scale per 16 inputs; step: from the weight scales of a group's first 16 inputs to those of its second.
   * Both are constants where this is inlined.
   */
  @inline
  static run(acc: usize, frames: usize, codes: Codes, blocks: i32, grouped: bool, step: usize): void {
    const mask = Lanes.nibbles();
    const scales = <usize>scaleBytes();
    let w = frames;
    for (let block = 0; block < blocks; block++) {
      let low = i32x4.splat(0);
      let high = i32x4.splat(0);
      let a = codes.records;
      for (let left = codes.k; left > 0; left -= FRAME_INPUTS) {
        let sw = w;
        w += scales;
        for (const end = w + <usize>((min(left, FRAME_INPUTS) / WEIGHT_GROUP) * GROUP_CODE_BYTES); w != end; ) {
          const d0 = Dot.sixteen(w, a, mask);
          const d1 = Dot.sixteen(w + 64, a + 16 * CODE_BYTES, mask);
          const offset = v128.load32_splat(a, RECORD_OFFSETS);
          const s0 = Scale.load(sw, grouped);
          const s1 = step == 0 ? s0 : Scale.load(sw + step, grouped);
          const sa = v128.load32_splat(a, RECORD_SCALES);
          const c0 = Scale.product(Lanes.unpackLow(s0, s1), sa, grouped);
          const c1 = Scale.product(Lanes.unpackHigh(s0, s1), sa, grouped);
          low = i32x4.add(low, i32x4.dot_i16x8_s(i16x8.sub(Lanes.unpackLow(d0, d1), offset), c0));
          high = i32x4.add(high, i32x4.dot_i16x8_s(i16x8.sub(Lanes.unpackHigh(d0, d1), offset), c1));
          sw += <usize>BLOCK_ROWS + step;
          w += GROUP_CODE_BYTES;
          a += RECORD_BYTES;
        }
      }
      v128.store(acc, low);
      v128.store(acc, high, 16);
      acc += SUM_BYTES;
    }
  }
}

/** Weight scales of 8 rows, as factors of the 16-bit dots. */
class Scale {
  /** u8 [8] → u16 [8], times 32 where a product follows. */
  @inline
  static load(sw: usize, grouped: bool): v128 {
    const s = v128.load8x8_u(sw);
    return grouped ? i16x8.shl(s, 5) : s;
  }

  /** (sw · sa + half) >> productShift: a rounding multiply, since (32 sw · 2^(10 - shift) sa + 2^14) >> 15 is the same. */
  @inline
  static product(s: v128, sa: v128, grouped: bool): v128 {
    return grouped ? Lanes.mulr(s, sa) : s;
  }
}

/** Σ of 16 inputs times 8 rows. */
class Dot {
  /** 16 codes at a times unpacked weights of 8 rows at w. */
  @inline
  static rows(a: usize, w: usize): v128 {
    const x = v128.load(a);
    if (ASC_FEATURE_RELAXED_SIMD) {
      const ones = v128.load(ONES);
      const low = i32x4.dot_i16x8_s(Dot.sixteenBytes(x, w), ones);
      return i16x8.narrow_i32x4_s(low, i32x4.dot_i16x8_s(Dot.sixteenBytes(x, w + 16), ones));
    }
    const y = v128.load(a, 16);
    const low = i32x4.add(Dot.sixteenBytes(x, w), Dot.sixteenBytes(y, w + 128));
    return i16x8.narrow_i32x4_s(low, i32x4.add(Dot.sixteenBytes(x, w + 16), Dot.sixteenBytes(y, w + 144)));
  }

  /** 16 bytes of codes times unpacked weights of four rows: pairs of int16 sums, or int32 sums where codes are int16. */
  @inline
  static sixteenBytes(x: v128, w: usize): v128 {
    const p0 = Dot.product(v128.shuffle<i32>(x, x, 0, 0, 0, 0), v128.load(w));
    const p1 = Dot.product(v128.shuffle<i32>(x, x, 1, 1, 1, 1), v128.load(w, 32));
    const p2 = Dot.product(v128.shuffle<i32>(x, x, 2, 2, 2, 2), v128.load(w, 64));
    const p3 = Dot.product(v128.shuffle<i32>(x, x, 3, 3, 3, 3), v128.load(w, 96));
    return Dot.sum(Dot.sum(p0, p1), Dot.sum(p2, p3));
  }

  @inline
  static product(codes: v128, w: v128): v128 {
    return ASC_FEATURE_RELAXED_SIMD ? i16x8.relaxed_dot_i8x16_i7x16_s(codes, w) : i32x4.dot_i16x8_s(codes, w);
  }

  @inline
  static sum(x: v128, y: v128): v128 {
    return ASC_FEATURE_RELAXED_SIMD ? i16x8.add(x, y) : i32x4.add(x, y);
  }

  /** 64 bytes of weights at w, 16 codes at a. */
  @inline
  static sixteen(w: usize, a: usize, mask: v128): v128 {
    const step: usize = <usize>4 * CODE_BYTES;
    const even = i16x8.add(Dot.four(v128.load(w), a, mask), Dot.four(v128.load(w, 16), a + step, mask));
    const odd = i16x8.add(
      Dot.four(v128.load(w, 32), a + 2 * step, mask),
      Dot.four(v128.load(w, 48), a + 3 * step, mask),
    );
    return i16x8.add(even, odd);
  }

  /** Low nibbles of `w` with inputs 0 and 1, high nibbles with 2 and 3. */
  @inline
  static four(w: v128, a: usize, mask: v128): v128 {
    if (ASC_FEATURE_RELAXED_SIMD) {
      const low = i16x8.relaxed_dot_i8x16_i7x16_s(v128.load16_splat(a), v128.and(w, mask));
      const high = i16x8.relaxed_dot_i8x16_i7x16_s(v128.load16_splat(a, 2), v128.and(i16x8.shr_u(w, 4), mask));
      return i16x8.add(low, high);
    }
    const n0 = i16x8.mul(v128.load16_splat(a), v128.and(w, mask));
    const n1 = i16x8.mul(v128.load16_splat(a, 2), v128.and(i16x8.shr_u(w, 8), mask));
    const n2 = i16x8.mul(v128.load16_splat(a, 4), v128.and(i16x8.shr_u(w, 4), mask));
    const n3 = i16x8.mul(v128.load16_splat(a, 6), i16x8.shr_u(w, 12));
    return i16x8.add(i16x8.add(n0, n1), i16x8.add(n2, n3));
  }
}

/**
 * The same for `tokens` vectors of codes at once: acc i32 [blocks][tokens][8]; scratch GEMM_SCRATCH bytes.
 * Two blocks at a time, frame by frame: unpacked once, then multiplied with each vector; 32 bits of it, repeated, meet four rows of either block.
 */
export function gemm(acc: usize, frames: usize, codes: usize, tokens: i32, blocks: i32, scratch: usize): void {
  const first = changetype<Codes>(codes);
  const grouped = first.bits != 8;
  const bytes = <usize>blockBytes(first.k);
  const frameBytes = <usize>scaleBytes() + (FRAME_INPUTS / WEIGHT_GROUP) * GROUP_CODE_BYTES;
  const row = <usize>tokens * SUM_BYTES;
  memory.fill(acc, 0, <usize>blocks * row);
  for (let block = 0; block < blocks; block += 2) {
    const second = min(block + 1, blocks - 1);
    const sums = acc + <usize>block * row;
    // An odd last block is multiplied twice, the second time into sums that nobody reads.
    const secondSums = second == block ? scratch + GEMM_SCRATCH : sums + row;
    const step = second == block ? <usize>0 : SUM_BYTES;
    let frame = frames + <usize>block * bytes;
    const toSecond = <usize>(second - block) * bytes;
    let record: usize = 0;
    for (let from = 0; from < first.k; from += FRAME_INPUTS) {
      const groups = min(first.k - from, FRAME_INPUTS) / WEIGHT_GROUP;
      Gemm.unpack(scratch, frame, groups, grouped);
      Gemm.unpack(scratch + UNPACKED_FRAME, frame + toSecond, groups, grouped);
      for (let t = 0; t < tokens; t++) {
        const a = changetype<Codes>(codes + <usize>t * offsetof<Codes>()).records + record;
        if (grouped) Gemm.run(sums + <usize>t * SUM_BYTES, secondSums + <usize>t * step, a, groups, scratch, true);
        else Gemm.run(sums + <usize>t * SUM_BYTES, secondSums + <usize>t * step, a, groups, scratch, false);
      }
      frame += frameBytes;
      record += <usize>groups * RECORD_BYTES;
    }
  }
}

class Gemm {
  /** Scales and codes of a block's frame: for each 32 bits of a vector's codes rows 0..3, then rows 4..7. */
  static unpack(out: usize, frame: usize, groups: i32, grouped: bool): void {
    const mask = Lanes.nibbles();
    const step: usize = config.weightGroup == WEIGHT_GROUP ? 0 : BLOCK_ROWS;
    let sw = frame;
    let w = frame + <usize>scaleBytes();
    for (let g = 0; g < groups; g++) {
      for (let v = 0; v < GROUP_CODE_BYTES; v += 16) {
        const codes = v128.load(w);
        const low = v128.and(codes, mask);
        const high = v128.and(i16x8.shr_u(codes, 4), mask);
        if (ASC_FEATURE_RELAXED_SIMD) {
          Gemm.store(out, low, high);
        } else {
          Gemm.store(out, low, v128.and(i16x8.shr_u(codes, 8), mask));
          Gemm.store(out + 32, high, i16x8.shr_u(codes, 12));
        }
        out += 32 * CODE_BYTES;
        w += 16;
      }
      const s0 = grouped ? Scale.load(sw, true) : Scale.load(sw, false);
      const s1 = grouped ? Scale.load(sw + step, true) : Scale.load(sw + step, false);
      Gemm.store(out, s0, s1);
      out += 32;
      sw += <usize>BLOCK_ROWS + step;
    }
  }

  /** Lanes of x and y in turn. */
  @inline
  static store(out: usize, x: v128, y: v128): void {
    v128.store(out, Lanes.unpackLow(x, y));
    v128.store(out, Lanes.unpackHigh(x, y), 16);
  }

  /** One vector's records times the unpacked frames of two blocks, added to their sums. */
  @inline
  static run(sums: usize, secondSums: usize, a: usize, groups: i32, unpacked: usize, grouped: bool): void {
    let low = v128.load(sums);
    let high = v128.load(sums, 16);
    let low2 = v128.load(secondSums);
    let high2 = v128.load(secondSums, 16);
    let w = unpacked;
    for (let g = groups; g > 0; g--) {
      const offset = v128.load32_splat(a, RECORD_OFFSETS);
      const sa = v128.load32_splat(a, RECORD_SCALES);
      const half: usize = 16 * CODE_BYTES;
      const x = Dot.rows(a, w);
      const x2 = Dot.rows(a, w + UNPACKED_FRAME);
      const y = Dot.rows(a + half, w + 8 * half);
      const y2 = Dot.rows(a + half, w + (UNPACKED_FRAME + 8 * half));
      w += UNPACKED_CODES;
      low = Gemm.add(low, Lanes.unpackLow(x, y), offset, v128.load(w), sa, grouped);
      high = Gemm.add(high, Lanes.unpackHigh(x, y), offset, v128.load(w, 16), sa, grouped);
      low2 = Gemm.add(low2, Lanes.unpackLow(x2, y2), offset, v128.load(w, UNPACKED_FRAME), sa, grouped);
      high2 = Gemm.add(high2, Lanes.unpackHigh(x2, y2), offset, v128.load(w, UNPACKED_FRAME + 16), sa, grouped);
      w += 32;
      a += RECORD_BYTES;
    }
    v128.store(sums, low);
    v128.store(sums, high, 16);
    v128.store(secondSums, low2);
    v128.store(secondSums, high2, 16);
  }

  @inline
  static add(sum: v128, dots: v128, offset: v128, scales: v128, sa: v128, grouped: bool): v128 {
    return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.sub(dots, offset), Scale.product(scales, sa, grouped)));
  }
}

/** Codes times scales of one row of an 8-bit matrix: out i32 [k] = (16 · hi + lo) · sw. */
export function readRow(out: usize, frames: usize, row: i32, k: i32): void {
  const bytes = <usize>blockBytes(k);
  const high = frames + <usize>(row / BLOCK_ROWS) * 2 * bytes;
  const r = row % BLOCK_ROWS;
  const scales = scaleBytes();
  let frame: usize = 0;
  for (let from = 0; from < k; from += FRAME_INPUTS) {
    const inputs = min(k - from, FRAME_INPUTS);
    for (let i = 0; i < inputs; i++) {
      const byte = frame + <usize>(scales + (i >> 2) * 16 + 2 * r + (i & 1));
      const shift = (i & 2) << 1;
      const hi = ((<i32>load<u8>(high + byte) >> shift) & 15) - 8;
      const lo = ((<i32>load<u8>(high + bytes + byte) >> shift) & 15) - 8;
      const scale = <i32>load<u8>(high + frame + <usize>((i / config.weightGroup) * BLOCK_ROWS + r));
      store<i32>(out + ((<usize>(from + i)) << 2), (16 * hi + lo) * scale);
    }
    frame += <usize>(scales + (inputs / WEIGHT_GROUP) * GROUP_CODE_BYTES);
  }
}
