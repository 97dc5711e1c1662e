/// <reference path="../../node_modules/@as-pect/assembly/types/as-pect.d.ts" />
// What is cheaper to try inside WebAssembly: primitives over whole ranges, compared where they are computed.
import { bitlen, byteShift, exp2n, Factor, norm, rsh, sat, silu, softplus } from "../fixed";

/** floor(x / 2^s + 1/2) in floating point: exact while x has at most 53 bits. */
function rounded(x: i64, s: i32): i64 {
  return <i64>Math.floor(<f64>x / 2 ** <f64>s + 0.5);
}

function rms(sum: u64): f64 {
  const out = changetype<Factor>(heap.alloc(offsetof<Factor>()));
  // sqrt(n) = 2^15 · 2^-15 = 1
  norm(sum, 0x8000, 15, out);
  const factor = <f64>out.m * 2 ** <f64>-out.s;
  heap.free(changetype<usize>(out));
  return factor;
}

describe("rsh", () => {
  test("rounds to nearest, ties up, on both sides of zero", () => {
    let wrong = 0;
    for (let s = 1; s <= 20; s++) {
      for (let x: i64 = -3000; x <= 3000; x++) wrong += i32(rsh(x * 173, s) != rounded(x * 173, s));
    }
    expect<i32>(wrong).toBe(0);
    expect<i64>(rsh(3, 1)).toBe(2);
    expect<i64>(rsh(-3, 1)).toBe(-1);
    expect<i64>(rsh(-1, 1)).toBe(0);
  });

  test("by nothing is nothing", () => {
    expect<i64>(rsh(i64.MIN_VALUE, 0)).toBe(i64.MIN_VALUE);
    expect<i64>(rsh(-77, 0)).toBe(-77);
  });

  test("by a negative number shifts left", () => {
    expect<i64>(rsh(5, -3)).toBe(40);
    expect<i64>(rsh(-5, -3)).toBe(-40);
    expect<i64>(rsh(1, -61)).toBe((<i64>1) << 61);
  });

  test("by more than 62 is 0", () => {
    let wrong = 0;
    for (let s = 63; s <= 200; s++) wrong += i32(rsh(i64.MIN_VALUE, s) != 0) + i32(rsh(i64.MAX_VALUE, s) != 0);
    expect<i32>(wrong).toBe(0);
    expect<i64>(rsh((<i64>1) << 61, 62)).toBe(1);
    expect<i64>(rsh(-((<i64>1) << 61), 62)).toBe(0);
  });

  test("to the left beyond 64 bits keeps the sign, and is larger than any container", () => {
    let wrong = 0;
    for (let s = 63; s <= 200; s++) {
      wrong += i32(sat(rsh(1, -s), 32) != i32.MAX_VALUE) + i32(sat(rsh(-1, -s), 32) != i32.MIN_VALUE);
      wrong += i32(rsh(0, -s) != 0);
    }
    wrong += i32(sat(rsh(i32.MAX_VALUE, -40), 32) != i32.MAX_VALUE);
    wrong += i32(sat(rsh(i32.MIN_VALUE, -40), 32) != i32.MIN_VALUE);
    expect<i32>(wrong).toBe(0);
  });
});

describe("sat", () => {
  test("keeps what fits and clamps the rest, at every width", () => {
    let wrong = 0;
    for (let bits = 2; bits <= 40; bits++) {
      const top = ((<i64>1) << (bits - 1)) - 1;
      wrong += i32(sat(top, bits) != top) + i32(sat(top + 1, bits) != top) + i32(sat(i64.MAX_VALUE, bits) != top);
      wrong += i32(sat(~top, bits) != ~top) + i32(sat(~top - 1, bits) != ~top) + i32(sat(i64.MIN_VALUE, bits) != ~top);
      wrong += i32(sat(0, bits) != 0) + i32(sat(-1, bits) != -1);
    }
    expect<i32>(wrong).toBe(0);
  });
});

describe("bitlen", () => {
  test("is the number of bits: below 2^n, at and above", () => {
    expect<i32>(bitlen(0)).toBe(0);
    expect<i32>(bitlen(u64.MAX_VALUE)).toBe(64);
    let wrong = 0;
    for (let n = 0; n < 64; n++) {
      const power = (<u64>1) << n;
      wrong += i32(bitlen(power) != n + 1) + i32(bitlen(power - 1) != n) + i32(bitlen(power | 1) != n + 1);
    }
    expect<i32>(wrong).toBe(0);
  });
});

describe("byteShift", () => {
  test("is the smallest shift to at most 127, for every magnitude to 2^20", () => {
    let wrong = 0;
    for (let magnitude: i64 = 0; magnitude <= 1 << 20; magnitude++) {
      const s = byteShift(magnitude);
      wrong += i32(rsh(magnitude, s) > 127) + i32(s > 0 && rsh(magnitude, s - 1) <= 127);
    }
    expect<i32>(wrong).toBe(0);
  });

  test("and around every power of two to 2^62", () => {
    let wrong = 0;
    for (let n = 8; n <= 62; n++) {
      for (let d: i64 = -3; d <= 3; d++) {
        // Both the power, and where rounding carries into the next.
        const near: i64[] = [((<i64>1) << n) + d, ((<i64>255) << (n - 8)) + d];
        for (let i = 0; i < 2; i++) {
          const s = byteShift(near[i]);
          wrong += i32(rsh(near[i], s) > 127) + i32(s > 0 && rsh(near[i], s - 1) <= 127);
        }
      }
    }
    expect<i32>(wrong).toBe(0);
  });
});

describe("exp2n", () => {
  test("is 1 at 0 and a half at 2^24", () => {
    expect<i32>(exp2n(0)).toBe(65536);
    expect<i32>(exp2n(1 << 24)).toBe(32768);
  });

  test("2^-f · 2^-(1-f) is a half, within 2.5 steps, over the whole range", () => {
    let worst: f64 = 0;
    for (let f = 0; f <= 1 << 24; f += 61) {
      const product = <f64>exp2n(f) * <f64>exp2n((1 << 24) - f);
      worst = max(worst, Math.abs(product / 4294967296.0 - 0.5));
    }
    expect<f64>(worst).toBeLessThan(2.5 / 65536.0);
  });

  test("never rises, and is within 2 steps of 2^-f", () => {
    let rises = 0;
    let worst: f64 = 0;
    let before: f64 = 65536;
    for (let f = 0; f <= 1 << 24; f += 61) {
      const value = <f64>exp2n(f);
      rises += i32(value > before);
      before = value;
      worst = max(worst, Math.abs(value - 65536.0 * 2 ** (<f64>-f / 16777216.0)));
    }
    expect<i32>(rises).toBe(0);
    expect<f64>(worst).toBeLessThan(2);
  });
});

describe("silu", () => {
  test("silu(u) - silu(-u) = u: what it takes from u it takes from -u", () => {
    let wrong = 0;
    // Q16 result, exact where it fits 16 bits: |u| < 1/2.
    for (let u = 0; u < 1024; u++) wrong += i32(silu(u, 16) - silu(-u, 16) != u << 5);
    // Rounded to Q11, within the step that the two roundings may differ by.
    for (let u = 0; u < 32768; u++) wrong += i32(abs(silu(u, 11) - silu(-u, 11) - min(u, 32767)) > 1);
    expect<i32>(wrong).toBe(0);
  });

  test("is 0 at 0, u for large u, 0 for large -u, and saturates", () => {
    for (let f = 0; f <= 16; f++) expect<i32>(silu(0, f)).toBe(0);
    expect<i32>(silu(20 << 11, 8)).toBe(20 << 8);
    expect<i32>(silu(-(20 << 11), 8)).toBe(0);
    expect<i32>(silu(i64.MAX_VALUE, 4)).toBe(0x2000);
    expect<i32>(silu(i64.MIN_VALUE, 4)).toBe(0);
    expect<i32>(silu(300 << 11, 8)).toBe(32767);
  });

  test("is within 1.6 steps of Q12 of x / (1 + e^-x)", () => {
    let worst: f64 = 0;
    for (let u = -32768; u < 16384; u++) {
      const x = <f64>u / 2048.0;
      worst = max(worst, Math.abs(<f64>silu(u, 12) / 4096.0 - x / (1 + Math.exp(-x))));
    }
    expect<f64>(worst).toBeLessThan(1.6 / 4096.0);
  });
});

describe("softplus", () => {
  test("softplus(v) - softplus(-v) = v, exactly", () => {
    let wrong = 0;
    for (let v: i64 = 0; v < 0x400000; v += 17) {
      const expected = v << 8;
      wrong += i32(abs(softplus(v) - softplus(-v) - expected) > 0);
    }
    expect<i32>(wrong).toBe(0);
  });

  test("keeps its relative precision down to e^-10", () => {
    let worst: f64 = 0;
    for (let v = -655360; v <= 655360; v += 97) {
      const exact = Math.log1p(Math.exp(<f64>v / 65536.0)) * 16777216.0;
      worst = max(worst, Math.abs(<f64>softplus(v) - exact) / (exact + 1));
    }
    expect<f64>(worst).toBeLessThan(0.0015);
  });

  test("is clamped beyond 64", () => {
    expect<i64>(softplus(i64.MAX_VALUE)).toBe(softplus(0x3fffff));
    expect<i64>(softplus(i64.MIN_VALUE)).toBe(softplus(-0x3fffff));
    expect<i64>(softplus(-0x3fffff)).toBe(0);
  });
});

describe("norm", () => {
  test("is 1/sqrt(S) within 2^-13, for S of 1 to 63 bits", () => {
    let worst: f64 = 0;
    for (let n = 0; n < 63; n++) {
      for (let part: u64 = 0; part < 64; part++) {
        const sum = ((<u64>1) << n) + ((part << n) >> 6);
        worst = max(worst, Math.abs(rms(sum) * Math.sqrt(<f64>sum) - 1));
      }
    }
    expect<f64>(worst).toBeLessThan(1.0 / 8192.0);
  });

  test("takes a sum of nothing for 1", () => {
    expect<f64>(rms(0)).toBe(rms(1));
    expect<f64>(rms(1)).toBeGreaterThan(0.999);
  });
});
