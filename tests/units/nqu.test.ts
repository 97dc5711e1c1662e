/** NQU: codes, scales, exponent and sum of squares of a vector. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nqu } from "../oracle/nqu.ts";
import { BACKENDS } from "./backend.ts";
import { NQU_CASES, type NquCase } from "./cases.ts";
import { nquVectors } from "./nqu.ts";
import { assertSame, caseName } from "./support.ts";

function check(shape: NquCase, seed: number): void {
  const { bits } = shape;
  nquVectors(shape, seed).forEach((a, index) => {
    const expected = nqu(a, bits);
    for (const backend of BACKENDS) {
      const found = backend.quantize(Int32Array.from(a), bits);
      const what = `${backend.name}, vector ${index}`;
      assert.equal(found.e, expected.e, `${what}: exponent`);
      assertSame(found.v, expected.v, `${what}: v`);
      assertSame(found.sa, expected.sa, `${what}: sa`);
      assert.equal(found.S, expected.S, `${what}: S`);
    }
  });
}

describe("NQU", () => {
  NQU_CASES.forEach((shape, seed) => {
    test(caseName(shape), () => check(shape, seed));
  });
});
