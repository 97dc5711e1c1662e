// MMU, matrix-multiplication unit: acc = W · v (docs/numerics.md section 3.2, docs/units/mmu.md).
//
// A block is 8 rows. Frame of a block: 64 bytes of scales sw[group 0..7][row 0..7] (128 bytes with groups of 16 inputs), then 128 bytes of
// codes per 32 inputs.
// Byte 2·row + (t & 1) of the 16-byte vector v holds input 4v + t: low nibble for t < 2, high nibble for t >= 2; nibble = code + 8.
// So one SIMD dot gives 8 row sums, and no horizontal add is ever needed. The +8 is taken back by `offset` = 8 · Σ v of the group.
import { config } from "../config";
import {
  ACTIVATION_GROUP,
  BLOCK_ROWS,
  FRAME_INPUTS,
  FRAME_SCALE_BYTES,
  GROUP_CODE_BYTES,
  WEIGHT_GROUP,
} from "../contract";
import { Codes } from "./nqu";

/** Bytes of one element of `Codes.v`: int8 for the relaxed dot, int16 for the plain multiply. */
export const CODE_BYTES: i32 = ASC_FEATURE_RELAXED_SIMD ? 1 : 2;

/** Bytes of a frame's scales. */
function scaleBytes(): i32 {
  return FRAME_SCALE_BYTES * (WEIGHT_GROUP / config.weightGroup);
}

/** From the scales of a group's first 16 inputs to those of its second: 0 where they share one. */
function halfStep(): usize {
  return config.weightGroup == WEIGHT_GROUP ? 0 : BLOCK_ROWS;
}

/** Bits dropped from sw · sa, so that no sum leaves int32 up to K = 8192. */
export function productShift(activationBits: i32): i32 {
  if (activationBits == 8) return 0;
  return activationBits == 6 ? 6 : 5;
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
  if (codes.sa) gemvGrouped(acc, frames, codes, blocks);
  else gemvWhole(acc, frames, codes, blocks);
}

/** Sums of two times eight products: low nibbles of `w` with inputs 0 and 1 of `a`, high nibbles with 2 and 3. */
function dot4(sum: v128, w: v128, a: usize): v128 {
  const mask = i16x8.splat(15);
  if (ASC_FEATURE_RELAXED_SIMD) {
    const low = v128.and(w, i8x16.splat(15));
    const high = v128.and(i16x8.shr_u(w, 4), i8x16.splat(15));
    const s = i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load16_splat(a), low));
    return i16x8.add(s, i16x8.relaxed_dot_i8x16_i7x16_s(v128.load16_splat(a, 2), high));
  }
  let s = i16x8.add(sum, i16x8.mul(v128.load16_splat(a), v128.and(w, mask)));
  s = i16x8.add(s, i16x8.mul(v128.load16_splat(a, 2), v128.and(i16x8.shr_u(w, 8), mask)));
  s = i16x8.add(s, i16x8.mul(v128.load16_splat(a, 4), v128.and(i16x8.shr_u(w, 4), mask)));
  return i16x8.add(s, i16x8.mul(v128.load16_splat(a, 6), i16x8.shr_u(w, 12)));
}

/** Dot of 16 inputs with 8 rows: 64 bytes of codes. */
function dot16(w: usize, a: usize): v128 {
  const step: usize = 4 * CODE_BYTES;
  const even = dot4(dot4(i16x8.splat(0), v128.load(w), a), v128.load(w, 16), a + step);
  const odd = dot4(dot4(i16x8.splat(0), v128.load(w, 32), a + 2 * step), v128.load(w, 48), a + 3 * step);
  return i16x8.add(even, odd);
}

/** Activations with a scale per 16 inputs: 4, 5 and 6 bits. */
function gemvGrouped(acc: usize, frames: usize, codes: Codes, blocks: i32): void {
  const drop = productShift(codes.bits);
  const half = i16x8.splat((<i16>1) << (<i16>(drop - 1)));
  const groupBytes: usize = WEIGHT_GROUP * CODE_BYTES;
  const sixteen: usize = ACTIVATION_GROUP * CODE_BYTES;
  const scales = <usize>scaleBytes();
  const step = halfStep();
  let w = frames;
  for (let block = 0; block < blocks; block++) {
    let low = i32x4.splat(0);
    let high = i32x4.splat(0);
    let a = codes.v;
    let sa = codes.sa;
    let offset = codes.offset;
    for (let left = codes.k; left > 0; left -= FRAME_INPUTS) {
      let sw = w;
      w += scales;
      for (let g = min(left, FRAME_INPUTS) / WEIGHT_GROUP; g > 0; g--) {
        const s0 = i16x8.mul(v128.load8x8_u(sw), i16x8.splat(<i16>load<u8>(sa)));
        const s1 = i16x8.mul(v128.load8x8_u(sw + step), i16x8.splat(<i16>load<u8>(sa, 1)));
        const c0 = i16x8.shr_u(i16x8.add(s0, half), drop);
        const c1 = i16x8.shr_u(i16x8.add(s1, half), drop);
        const d0 = i16x8.sub(dot16(w, a), v128.load16_splat(offset));
        const d1 = i16x8.sub(dot16(w + 64, a + sixteen), v128.load16_splat(offset, 2));
        low = i32x4.add(i32x4.add(low, i32x4.extmul_low_i16x8_s(d0, c0)), i32x4.extmul_low_i16x8_s(d1, c1));
        high = i32x4.add(i32x4.add(high, i32x4.extmul_high_i16x8_s(d0, c0)), i32x4.extmul_high_i16x8_s(d1, c1));
        sw += <usize>BLOCK_ROWS + step;
        w += GROUP_CODE_BYTES;
        a += groupBytes;
        sa += 2;
        offset += 4;
      }
    }
    v128.store(acc, low);
    v128.store(acc, high, 16);
    acc += 32;
  }
}

/** Activations with one scale a vector: 8 bits. */
function gemvWhole(acc: usize, frames: usize, codes: Codes, blocks: i32): void {
  const groupBytes: usize = WEIGHT_GROUP * CODE_BYTES;
  const sixteen: usize = ACTIVATION_GROUP * CODE_BYTES;
  const scales = <usize>scaleBytes();
  const step = halfStep();
  let w = frames;
  for (let block = 0; block < blocks; block++) {
    let low = i32x4.splat(0);
    let high = i32x4.splat(0);
    let a = codes.v;
    let offset = codes.offset;
    for (let left = codes.k; left > 0; left -= FRAME_INPUTS) {
      let sw = w;
      w += scales;
      for (let g = min(left, FRAME_INPUTS) / WEIGHT_GROUP; g > 0; g--) {
        const s0 = v128.load8x8_u(sw);
        const d0 = i16x8.sub(dot16(w, a), v128.load16_splat(offset));
        const d1 = i16x8.sub(dot16(w + 64, a + sixteen), v128.load16_splat(offset, 2));
        if (step == 0) {
          const dot = i16x8.add(d0, d1);
          low = i32x4.add(low, i32x4.extmul_low_i16x8_s(dot, s0));
          high = i32x4.add(high, i32x4.extmul_high_i16x8_s(dot, s0));
        } else {
          const s1 = v128.load8x8_u(sw + step);
          low = i32x4.add(i32x4.add(low, i32x4.extmul_low_i16x8_s(d0, s0)), i32x4.extmul_low_i16x8_s(d1, s1));
          high = i32x4.add(i32x4.add(high, i32x4.extmul_high_i16x8_s(d0, s0)), i32x4.extmul_high_i16x8_s(d1, s1));
        }
        sw += <usize>BLOCK_ROWS + step;
        w += GROUP_CODE_BYTES;
        a += groupBytes;
        offset += 4;
      }
    }
    v128.store(acc, low);
    v128.store(acc, high, 16);
    acc += 32;
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
