// Across the lanes of a vector, and vector constants. A class, because the compiler warns of every exported free function that takes a v128.
// Constants are loaded from memory: V8 builds an immediate vector anew at every use, three instructions each, and a loaded one once a loop.

const NIBBLES: usize = ASC_FEATURE_RELAXED_SIMD
  ? memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16)
  : memory.data<u16>([15, 15, 15, 15, 15, 15, 15, 15], 16);

export class Lanes {
  /** 4 one bits in every lane the MMU multiplies: bytes for the relaxed dot, int16 otherwise. */
  @inline
  static nibbles(): v128 {
    return v128.load(NIBBLES);
  }

  /** (x · y + 2^14) >> 15 of int16 lanes; never called with both -2^15, the one case in which engines differ. */
  @inline
  static mulr(x: v128, y: v128): v128 {
    return ASC_FEATURE_RELAXED_SIMD ? i16x8.relaxed_q15mulr_s(x, y) : i16x8.q15mulr_sat_s(x, y);
  }

  /** Bytes of x that the bytes of `index` name, each in 0..15 or from 128 on: then 0. */
  @inline
  static choose(x: v128, index: v128): v128 {
    return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(x, index) : i8x16.swizzle(x, index);
  }

  /** x0 y0 … x7 y7 of int8 lanes. */
  @inline
  static unpackLow8(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }

  /** x8 y8 … x15 y15. */
  @inline
  static unpackHigh8(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }

  /** x0 y0 x1 y1 x2 y2 x3 y3 of int16 lanes. */
  @inline
  static unpackLow(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
  }

  /** x4 y4 … x7 y7. */
  @inline
  static unpackHigh(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
  }

  /** Pairs of int32 lanes: x0 y0 x1 y1. */
  @inline
  static unpackLow32(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  }

  /** x2 y2 x3 y3. */
  @inline
  static unpackHigh32(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  }

  /** Low halves of x and y. */
  @inline
  static unpackLow64(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  }

  /** High halves. */
  @inline
  static unpackHigh64(x: v128, y: v128): v128 {
    return i8x16.shuffle(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }

  /** FP32 lanes to int32; those below -2^31 give -2^31, none may be above. */
  @inline
  static truncate(x: v128): v128 {
    return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_trunc_f32x4_s(x) : i32x4.trunc_sat_f32x4_s(x);
  }

  /** Sum of four int32 lanes. */
  static sum(v: v128): i32 {
    const s = i32x4.add(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    return i32x4.extract_lane(s, 0) + i32x4.extract_lane(s, 1);
  }

  /** Largest of four int32 lanes. */
  static max(v: v128): i32 {
    const m = i32x4.max_s(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    return max(i32x4.extract_lane(m, 0), i32x4.extract_lane(m, 1));
  }
}
