// A class, because the compiler warns of every exported free function that takes a v128.
export class Lanes {
  /** Sum of the four lanes, pairwise. */
  static sum(v: v128): f32 {
    return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
  }

  /** Largest of the four lanes. */
  static max(v: v128): f32 {
    return max(
      max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
      max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
    );
  }
}
