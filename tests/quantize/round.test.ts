/** Rounding a matrix to 4-bit codes: w = q · sw · 2^rw. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WEIGHT_GROUP } from "../../assembly/contract.ts";
import { dequantize, paddedInputs, type QuantizedMatrix, ROW_EXPONENT_RANGE } from "../../host/model/frames.ts";
import { NEAREST, type RoundRules, roundMatrix, signalToNoise } from "../../host/quantize/round.ts";
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

/** Every way of rounding, and the range of its codes. */
const RULES: [name: string, rules: RoundRules, low: number, high: number][] = [
  ["4 bits", NEAREST, -8, 7],
  ["8 bits", { ...NEAREST, bits: 8 }, -128, 119],
  ["groups of 16", { ...NEAREST, group: 16 }, -8, 7],
  ["groups of 64", { ...NEAREST, group: 64 }, -8, 7],
  ["groups of 128", { ...NEAREST, group: 128 }, -8, 7],
  ["scales that are powers of two", { ...NEAREST, powerOfTwo: true }, -8, 7],
];

/** The error with the smallest scale that clips nothing and no search: what any quantizer must match. */
function plainError(values: Float32Array, exponent: number, powerOfTwo: boolean, low: number, high: number): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const wanted = Math.min(255, Math.max(1, Math.ceil(largest / high / 2 ** exponent)));
  const scale = (powerOfTwo ? Math.min(128, 2 ** Math.ceil(Math.log2(wanted))) : wanted) * 2 ** exponent;
  return values.reduce((sum, value) => {
    const code = Math.min(high, Math.max(low, Math.floor(value / scale + 0.5)));
    return sum + (value - code * scale) ** 2;
  }, 0);
}

/** The values of each group that shares a scale, with the group's error. */
function groupsOf(w: Float32Array, rounded: Float32Array, matrix: QuantizedMatrix, group: number) {
  const groups = [];
  for (let r = 0; r < matrix.rows; r++) {
    for (let k = 0; k < matrix.inputs; k += group) {
      const part = [r * matrix.inputs + k, r * matrix.inputs + Math.min(k + group, matrix.inputs)] as const;
      const values = w.subarray(...part);
      const error = rounded.subarray(...part).reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0);
      groups.push({ values, error, exponent: matrix.rowExponents[r]! });
    }
  }
  return groups;
}

for (const [name, w, rows, inputs] of MATRICES) {
  for (const [how, rules, low, high] of RULES) {
    describe(`${name}, ${how}`, () => {
      const { matrix, values } = roundMatrix(w, inputs, rules);

      it("has codes, scales and row exponents in the ranges the loader accepts", () => {
        assert.deepEqual([matrix.rows, matrix.inputs, matrix.bits], [rows, inputs, rules.bits]);
        assert.equal(matrix.codes.length, rows * paddedInputs(inputs));
        assert.equal(matrix.codes.length % matrix.scales.length, 0);
        assert.ok(matrix.codes.every((code) => code >= low && code <= high));
        if (rules.powerOfTwo) assert.ok(matrix.scales.every((scale) => (scale & (scale - 1)) === 0));
        const [least, most] = ROW_EXPONENT_RANGE;
        assert.ok(matrix.rowExponents.every((exponent) => exponent >= least && exponent <= most));
      });

      // K = 7 is one group of 16 and one that is all padding.
      it("has no scale of 0", () => assert.ok(matrix.scales.every((scale) => scale >= 1)));

      it("is in no group further off than rounding without a search for the scale", () => {
        for (const { values: group, error, exponent } of groupsOf(w, values, matrix, rules.group)) {
          const plain = plainError(group, exponent, rules.powerOfTwo, low, high);
          assert.ok(error <= plain * (1 + 1e-5), `${error}, plain ${plain}`);
        }
      });

      it("says what its codes stand for", () => assert.deepEqual(values, dequantize(matrix)));

      it("codes zeros, and the padding, as zeros", () => {
        assert.ok(values.every((value, i) => w[i] !== 0 || value === 0));
        const padded = paddedInputs(inputs);
        assert.ok(matrix.codes.every((code, i) => i % padded < inputs || code === 0));
      });
    });
  }
}

describe("rounding", () => {
  const NORMAL: [rules: Partial<RoundRules>, low: number, high: number][] = [
    [{}, 20.5, 22.5],
    [{ group: 16 }, 21.5, 24],
    [{ group: 64 }, 19, 21],
    [{ group: 128 }, 18, 20],
    [{ powerOfTwo: true }, 15, 21],
    [{ bits: 8 }, 42, 46],
  ];
  for (const [rules, low, high] of NORMAL) {
    it(`loses ${low} to ${high} dB of normal values with ${JSON.stringify(rules)}`, () => {
      const w = bell(64 * 256, 20);
      const db = signalToNoise(w, roundMatrix(w, 256, { ...NEAREST, ...rules }).values);
      assert.ok(db > low && db < high, `${db} dB`);
    });
  }

  it("keeps an outlier, and all groups but its own", () => {
    const w = withOutlier(bell(128, 8), 70, 900);
    const { values } = roundMatrix(w, 128);
    assert.ok(Math.abs(values[70]! / 900 - 1) < 0.01);
    const others = (all: Float32Array) => all.filter((_, i) => i < 64 || i >= 96);
    assert.ok(signalToNoise(others(w), others(values)) > 10);
  });

  it("finds codes again that were codes before", () => {
    const [rows, inputs] = [12, 96];
    const codes = Int8Array.from(noise(rows * inputs, 21), (value) => Math.round(7 * value));
    // ±7 in every group and one scale of full width in every row say which grid it is
    for (let at = 0; at < codes.length; at += WEIGHT_GROUP) codes[at + (at % 31)] = at % 3 ? 7 : -7;
    const scales = Uint8Array.from({ length: codes.length / 32 }, (_, i) => (i % 3 ? 1 + ((i * 37) % 255) : 128 + i));
    const rowExponents = Int8Array.from({ length: rows }, (_, r) => r - 9);
    const w = dequantize({
      ...roundMatrix(new Float32Array(rows * inputs), inputs).matrix,
      codes,
      scales,
      rowExponents,
    });
    assert.deepEqual(roundMatrix(w, inputs).values, w);
  });

  it("does not depend on the unit: 2^n times the values, 2^n times the result", () => {
    const w = bell(8 * 64, 22);
    const once = roundMatrix(w, 64).values;
    for (const n of [-30, -1, 1, 10]) {
      const scaled = w.map((value) => value * 2 ** n);
      assert.deepEqual(
        roundMatrix(scaled, 64).values,
        once.map((value) => value * 2 ** n),
      );
    }
  });

  it("rounds each row on its own", () => {
    const w = bell(13 * 64, 23);
    const whole = roundMatrix(w, 64).values;
    for (const rows of [1, 3, 13]) {
      assert.deepEqual(roundMatrix(w.slice(0, rows * 64), 64).values, whole.slice(0, rows * 64));
    }
  });

  it("rounds an empty matrix to an empty one", () => {
    assert.equal(roundMatrix(new Float32Array(0), 32).values.length, 0);
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
