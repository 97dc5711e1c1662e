/** The factors of error feedback against their definition, in float64 and one element at a time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LightMambaError } from "../../host/errors.ts";
import { feedbackFactors } from "../../host/quantize/feedback.ts";
import { noise, relativeError } from "../reference/support.ts";

const DAMPING = 0.01;

/** xᵀy of x and y [rows, k]. */
function gram(x: Float32Array, y: Float32Array, k: number): Float64Array {
  const out = new Float64Array(k * k);
  for (let row = 0; row < x.length; row += k) {
    for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) out[i * k + j]! += x[row + i]! * y[row + j]!;
  }
  return out;
}

/** a · b of [k, k], a and b given by element. */
function product(k: number, a: (i: number, l: number) => number, b: (l: number, j: number) => number): Float64Array {
  return Float64Array.from({ length: k * k }, (_, at) => {
    let sum = 0;
    for (let l = 0; l < k; l++) sum += a(Math.floor(at / k), l) * b(l, at % k);
    return sum;
  });
}

describe("factors of error feedback", () => {
  // Below, at and beyond the kernel's panels of 16 and the products' blocks of 64.
  for (const k of [1, 3, 16, 17, 50, 64, 67, 150]) {
    it(`of ${k} inputs: uᵀu is the damped inverse, p the correction`, () => {
      const rounded = noise(4 * k * k, 1);
      const drift = noise(4 * k * k, 2);
      const exact = rounded.map((value, i) => value + drift[i]! / 8);
      const sums = { own: gram(rounded, rounded, k), cross: gram(exact, rounded, k) };
      const { u, p } = feedbackFactors(sums, k);

      let trace = 0;
      for (let i = 0; i < k; i++) trace += sums.own[i * k + i]!;
      const damped = (i: number, j: number) => sums.own[i * k + j]! + (i === j ? (DAMPING * trace) / k : 0);
      const uAt = (i: number, j: number) => u[i * k + j]!;
      const inverse = product(k, (i, l) => uAt(l, i), uAt);
      const identity = Float64Array.from({ length: k * k }, (_, at) => Number(at % (k + 1) === 0));
      assert.ok(
        relativeError(
          product(k, (i, l) => inverse[i * k + l]!, damped),
          identity,
        ) < 1e-5,
      );
      for (let i = 0; i < k; i++) assert.ok(u.subarray(i * k, i * k + i).every((value) => value === 0));

      const difference = (i: number, l: number) => sums.cross[i * k + l]! - sums.own[i * k + l]!;
      const m = product(k, difference, (l, j) => uAt(j, l));
      const expected = product(k, (i, l) => (l > i ? m[i * k + l]! : 0), uAt);
      assert.ok(relativeError(p, expected) < 1e-5);
    });
  }

  it("of inputs that are all zero do not exist", () => {
    const nothing = { own: new Float64Array(4), cross: new Float64Array(4) };
    assert.throws(() => feedbackFactors(nothing, 2), LightMambaError);
  });
});
