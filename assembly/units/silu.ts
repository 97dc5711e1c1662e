// SiLU of eight lanes (docs/numerics.md section 2): the table is read lane by lane, all else is SIMD. fixed.ts has the same, one by one.
import { SILU } from "../tables.generated";

/** Scratch bytes: offsets i32 [8], then table entries i32 [8][2]. */
export const SILU_SCRATCH: usize = 96;

const CONSTANTS: usize = memory.data(16 * 5, 16);
const LARGEST: usize = CONSTANTS; //       2^20 - 1
const LAST: usize = CONSTANTS + 16; //     2^15 - 1, the last argument of the table
const FRACTION: usize = CONSTANTS + 32; // 127
const ROUND: usize = CONSTANTS + 48; //    64
const ZERO: usize = CONSTANTS + 64;

export function allocateSilu(): void {
  v128.store(LARGEST, i32x4.splat(0xfffff));
  v128.store(LAST, i32x4.splat(0x7fff));
  v128.store(FRACTION, i32x4.splat(127));
  v128.store(ROUND, i32x4.splat(64));
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
    Silu.entry(scratch, 0);
    Silu.entry(scratch, 1);
    Silu.entry(scratch, 2);
    Silu.entry(scratch, 3);
    Silu.entry(scratch, 4);
    Silu.entry(scratch, 5);
    Silu.entry(scratch, 6);
    Silu.entry(scratch, 7);
    const y0 = Silu.four(x0, a0, v128.load(scratch, 32), v128.load(scratch, 48), fo);
    const y1 = Silu.four(x1, a1, v128.load(scratch, 64), v128.load(scratch, 80), fo);
    return i16x8.narrow_i32x4_s(y0, y1);
  }

  /** Table entry of a lane, and the next. */
  @inline
  static entry(scratch: usize, lane: usize): void {
    store<u64>(scratch + (lane << 3), load<u64>(<usize>load<u32>(scratch + (lane << 2)) + SILU), 32);
  }

  @inline
  static four(x: v128, a: v128, entries01: v128, entries23: v128, fo: i32): v128 {
    const low = i8x16.shuffle(entries01, entries23, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    const next = i8x16.shuffle(entries01, entries23, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    const step = i32x4.mul(i32x4.sub(next, low), v128.and(a, v128.load(FRACTION)));
    const g = i32x4.add(low, i32x4.shr_s(i32x4.add(step, v128.load(ROUND)), 7));
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
