// SiLU of eight lanes (docs/numerics.md section 2): the table is read lane by lane, all else is SIMD. fixed.ts has the same, one by one.
import { SILU } from "../tables.generated";

/** Scratch bytes: offsets of table entries i32 [8]. */
export const SILU_SCRATCH: usize = 32;
/** SILU[i], and how far it is to the next: i16 [256][2]. */
export const SILU_STEPS: usize = memory.data(256 * 4, 16);

const CONSTANTS: usize = memory.data(16 * 6, 16);
const LARGEST: usize = CONSTANTS; //       2^20 - 1
const LAST: usize = CONSTANTS + 16; //     2^15 - 1, the last argument of the table
const FRACTION: usize = CONSTANTS + 32; // 127
const ROUND: usize = CONSTANTS + 48; //    64
const ZERO: usize = CONSTANTS + 64;
const WHOLE: usize = CONSTANTS + 80; //    128

export function allocateSilu(): void {
  v128.store(LARGEST, i32x4.splat(0xfffff));
  v128.store(LAST, i32x4.splat(0x7fff));
  v128.store(FRACTION, i32x4.splat(127));
  v128.store(ROUND, i32x4.splat(64));
  v128.store(WHOLE, i32x4.splat(128));
  for (let i = 0; i < 256; i++) {
    const entry = load<i32>(SILU + ((<usize>i) << 2));
    const next = load<i32>(SILU + ((<usize>i) << 2), 4);
    store<i16>(SILU_STEPS + ((<usize>i) << 2), <i16>entry);
    store<i16>(SILU_STEPS + ((<usize>i) << 2), <i16>(next - entry), 2);
  }
}

export class Silu {
  /** x·sigmoid(x) of two times four int32 lanes, Q11, as eight int16 lanes with `fo` fraction bits, 0 ≤ fo ≤ 16. */
  @inline
  static eight(u0: v128, u1: v128, fo: i32, scratch: usize): v128 {
    const largest = v128.load(LARGEST);
    const x0 = i32x4.max_s(i32x4.min_s(u0, largest), i32x4.neg(largest));
    const x1 = i32x4.max_s(i32x4.min_s(u1, largest), i32x4.neg(largest));
    const a0 = i32x4.abs(x0);
    const a1 = i32x4.abs(x1);
    const last = v128.load(LAST);
    v128.store(scratch, i32x4.shl(i32x4.shr_u(i32x4.min_s(a0, last), 7), 2));
    v128.store(scratch, i32x4.shl(i32x4.shr_u(i32x4.min_s(a1, last), 7), 2), 16);
    const y0 = Silu.four(x0, a0, Silu.entries(scratch), fo);
    const y1 = Silu.four(x1, a1, Silu.entries(scratch + 16), fo);
    return i16x8.narrow_i32x4_s(y0, y1);
  }

  /** Table entries of four lanes. */
  @inline
  static entries(offsets: usize): v128 {
    const x0 = v128.load32_zero(<usize>load<u32>(offsets), SILU_STEPS);
    const x1 = v128.load32_lane(<usize>load<u32>(offsets, 4), x0, 1, SILU_STEPS);
    const x2 = v128.load32_lane(<usize>load<u32>(offsets, 8), x1, 2, SILU_STEPS);
    return v128.load32_lane(<usize>load<u32>(offsets, 12), x2, 3, SILU_STEPS);
  }

  /** The entry times 128 and the step times the fraction, in one product. */
  @inline
  static four(x: v128, a: v128, entries: v128, fo: i32): v128 {
    const weights = v128.or(i32x4.shl(v128.and(a, v128.load(FRACTION)), 16), v128.load(WHOLE));
    const g = i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(entries, weights), v128.load(ROUND)), 7);
    const inside = i32x4.le_s(a, v128.load(LAST));
    const y = i32x4.sub(i32x4.shl(i32x4.max_s(x, v128.load(ZERO)), 5), v128.and(g, inside));
    const drop = 16 - fo;
    const half = drop == 0 ? 0 : 1 << (drop - 1);
    return i32x4.shr_s(i32x4.add(y, i32x4.splat(half)), drop);
  }

  /** rsh of int32 lanes for -31 ≤ s ≤ 31; nothing is lost to a left shift where |x| · 2^-s < 2^31. */
  @inline
  static shifted(x: v128, s: i32): v128 {
    if (s <= 0) return i32x4.shl(x, -s);
    const one = i32x4.splat(1);
    return i32x4.shr_s(i32x4.add(i32x4.shr_s(x, s - 1), one), 1);
  }
}
