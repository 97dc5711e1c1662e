/// <reference path="../../node_modules/@as-pect/assembly/types/as-pect.d.ts" />

describe("the test compiler", () => {
  it("adds the lanes of an i16x8", () => {
    const sum = i16x8.add(i16x8.splat(20), i16x8(1, 2, 3, 4, 5, 6, 7, 8));
    expect<i16>(i16x8.extract_lane_s(sum, 7)).toBe(28);
  });
});
