// Across the lanes of a vector. A class, because the compiler warns of every exported free function that takes a v128.
export class IntLanes {
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
