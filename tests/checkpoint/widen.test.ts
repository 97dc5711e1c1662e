/** F16 and BF16 are subsets of FP32: widening is exact for every one of their 65,536 patterns. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { widen } from "../../host/checkpoint/dtype.ts";

function widened(dtype: "F16" | "BF16" | "F32", words: Uint16Array | Uint32Array): Float32Array {
  const values = new Float32Array(words.length);
  widen(dtype, new Uint8Array(words.buffer), new Uint32Array(values.buffer));
  return values;
}

const ALL = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);

test("F16: known values, subnormals among them", () => {
  const words = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0400, 0x03ff, 0x0001, 0x8001, 0x7c00, 0xfc00, 0x3555);
  const values = [1, -2, 65504, 2 ** -14, 1023 * 2 ** -24, 2 ** -24, -(2 ** -24), Infinity, -Infinity, 0.333251953125];
  assert.deepEqual([...widened("F16", words)], values);
});

test("F16: every pattern has the value its fields say", () => {
  const values = widened("F16", ALL);
  for (const half of ALL) {
    const exponent = (half >> 10) & 31;
    const fraction = (half & 1023) / 1024;
    const magnitude = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
    const special = fraction === 0 ? Infinity : Number.NaN;
    const value = (exponent === 31 ? special : magnitude) * (half & 0x8000 ? -1 : 1);
    assert.ok(Object.is(values[half], value), `0x${half.toString(16)}: ${values[half]}, not ${value}`);
  }
});

test("BF16: every pattern is the upper half of the FP32 pattern", () => {
  const values = widened("BF16", ALL);
  const bits = new Uint32Array(values.buffer);
  for (const half of ALL) assert.equal(bits[half], half * 2 ** 16);
  assert.equal(values[0x3f80], 1);
  assert.equal(values[0x0001], 2 ** -133, "a subnormal");
});

test("F32: patterns pass unchanged", () => {
  const words = Uint32Array.of(0, 0x80000000, 1, 0x007fffff, 0x3f800000, 0x7f7fffff, 0x7f800000);
  const values = [0, -0, 2 ** -149, 2 ** -126 - 2 ** -149, 1, 3.4028234663852886e38, Infinity];
  assert.deepEqual([...widened("F32", words)], values);
});
