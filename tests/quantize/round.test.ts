/** Rounding a matrix to 4-bit codes: w = q · sw · 2^rw. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WEIGHT_GROUP } from "../../assembly/contract.ts";
import { paddedInputs, type QuantizedMatrix, ROW_EXPONENT_RANGE } from "../../host/model/frames.ts";
import { dequantize, roundToNearest, signalToNoise } from "../../host/quantize/round.ts";
import { noise } from "../reference/support.ts";

/** Roughly normal values: sums of uniform ones. */
function bell(count: number, seed: number, scale = 1): Float32Array {
  const parts = [0, 1, 2, 3].map((i) => noise(count, seed + 1000 * i));
  return Float32Array.from({ length: count }, (_, i) => scale * parts.reduce((sum, part) => sum + part[i]!, 0));
}

function withOutlier(values: Float32Array, at: number, size: number): Float32Array {
  const out = values.slice();
  out[at] = size;
  return out;
}

const MATRICES: [name: string, w: Float32Array, rows: number, inputs: number][] = [
  ["normal values", bell(16 * 96, 1), 16, 96],
  ["uniform values", noise(16 * 96, 2), 16, 96],
  ["inputs that fill no group", bell(9 * 50, 3), 9, 50],
  ["fewer inputs than a group", bell(5 * 7, 4), 5, 7],
  ["one input", bell(8, 5), 8, 1],
  ["very small values", bell(4 * 64, 6, 2 ** -60), 4, 64],
  ["very large values", bell(4 * 64, 7, 2 ** 20), 4, 64],
  ["one outlier", withOutlier(bell(3 * 128, 8), 70, 900), 3, 128],
  ["groups of very different size", bell(4 * 96, 9).map((value, i) => value * 10 ** -(Math.floor(i / 32) % 3)), 4, 96],
  ["rows of zeros among others", bell(4 * 64, 10).map((value, i) => (Math.floor(i / 64) % 2 ? value : 0)), 4, 64],
  ["a group of zeros", bell(2 * 96, 11).map((value, i) => (Math.floor(i / 32) % 3 === 1 ? 0 : value)), 2, 96],
];

/** Largest magnitude to 7 and no search: what any quantizer must match. */
function plainError(values: Float32Array, exponent: number): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const scale = Math.min(255, Math.max(1, Math.ceil(largest / 7 / 2 ** exponent))) * 2 ** exponent;
  return values.reduce((sum, value) => {
    const code = Math.min(7, Math.max(-8, Math.floor(value / scale + 0.5)));
    return sum + (value - code * scale) ** 2;
  }, 0);
}

function groupsOf(w: Float32Array, rounded: Float32Array, { rows, inputs, rowExponents }: QuantizedMatrix) {
  const groups = [];
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < inputs; k += WEIGHT_GROUP) {
      const part = [r * inputs + k, r * inputs + Math.min(k + WEIGHT_GROUP, inputs)] as const;
      const values = w.subarray(...part);
      const error = rounded.subarray(...part).reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0);
      groups.push({ values, error, exponent: rowExponents[r]! });
    }
  }
  return groups;
}

for (const [name, w, rows, inputs] of MATRICES) {
  describe(name, () => {
    const matrix = roundToNearest(w, rows, inputs);
    const rounded = dequantize(matrix);

    it("has codes of 4 bits, scales of 8 and row exponents the loader accepts", () => {
      assert.equal(matrix.codes.length, rows * paddedInputs(inputs));
      assert.equal(matrix.scales.length, matrix.codes.length / WEIGHT_GROUP);
      assert.ok(matrix.codes.every((code) => code >= -8 && code <= 7));
      assert.ok(matrix.scales.every((scale) => scale >= 1));
      const [low, high] = ROW_EXPONENT_RANGE;
      assert.ok(matrix.rowExponents.every((exponent) => exponent >= low && exponent <= high));
    });

    it("is in no group further off than rounding without a search for the scale", () => {
      for (const { values, error, exponent } of groupsOf(w, rounded, matrix)) {
        assert.ok(error <= plainError(values, exponent) * (1 + 1e-5));
      }
    });

    it("codes zeros, and the padding, as zeros", () => {
      w.forEach((value, i) => void (value === 0 && assert.equal(rounded[i]! === 0, true)));
      const padded = paddedInputs(inputs);
      assert.ok(matrix.codes.every((code, i) => i % padded < inputs || code === 0));
    });
  });
}

describe("rounding", () => {
  it("loses about 21 dB of normal values: 4 bits with a scale for every 32", () => {
    const w = bell(64 * 256, 20);
    const db = signalToNoise(w, dequantize(roundToNearest(w, 64, 256)));
    assert.ok(db > 20 && db < 23, `${db} dB`);
  });

  it("keeps an outlier, and all groups but its own", () => {
    const w = withOutlier(bell(128, 8), 70, 900);
    const rounded = dequantize(roundToNearest(w, 1, 128));
    assert.ok(Math.abs(rounded[70]! / 900 - 1) < 0.01);
    const others = (values: Float32Array) => values.filter((_, i) => i < 64 || i >= 96);
    assert.ok(signalToNoise(others(w), others(rounded)) > 0);
  });

  it("finds codes again that were codes before", () => {
    const [rows, inputs] = [12, 96];
    const codes = Int8Array.from(noise(rows * inputs, 21), (value) => Math.round(7 * value));
    // ±7 in every group and one scale of full width in every row say which grid it is
    for (let at = 0; at < codes.length; at += WEIGHT_GROUP) codes[at + (at % 31)] = at % 3 ? 7 : -7;
    const scales = Uint8Array.from({ length: codes.length / 32 }, (_, i) => (i % 3 ? 1 + ((i * 37) % 255) : 128 + i));
    const rowExponents = Int8Array.from({ length: rows }, (_, r) => r - 9);
    const w = dequantize({ rows, inputs, codes, scales, rowExponents });
    assert.deepEqual(dequantize(roundToNearest(w, rows, inputs)), w);
  });

  it("does not depend on the unit: 2^n times the values, 2^n times the result", () => {
    const w = bell(8 * 64, 22);
    const once = dequantize(roundToNearest(w, 8, 64));
    for (const n of [-30, -1, 1, 10]) {
      const scaled = w.map((value) => value * 2 ** n);
      assert.deepEqual(
        dequantize(roundToNearest(scaled, 8, 64)),
        once.map((value) => value * 2 ** n),
      );
    }
  });

  it("rounds an empty matrix to an empty one", () => {
    assert.equal(dequantize(roundToNearest(new Float32Array(0), 0, 32)).length, 0);
  });
});

describe("signal to noise", () => {
  const CASES: [name: string, w: number[], rounded: number[], db: number][] = [
    ["nothing lost", [1, -2], [1, -2], Number.POSITIVE_INFINITY],
    ["all lost", [3, 4], [0, 0], 0],
    ["a tenth of the amplitude off", [10, -10], [9, -11], 20],
    ["noise louder than the signal", [1], [11], -20],
    ["nothing there, nothing lost", [0, 0], [0, 0], Number.POSITIVE_INFINITY],
  ];
  for (const [name, w, rounded, db] of CASES) {
    it(`${name}: ${db} dB`, () => {
      const found = signalToNoise(Float32Array.from(w), Float32Array.from(rounded));
      assert.ok(found === db || Math.abs(found - db) < 1e-9, `${found}`);
    });
  }
});
