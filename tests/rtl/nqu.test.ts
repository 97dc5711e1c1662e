/** lm_nqu against the oracle: the whole table of cases, and vectors that go to the ends of int32. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ActivationBits, type Codes, nqu } from "../oracle/nqu.ts";
import { Random } from "../oracle/random.ts";
import { NQU_CASES, type NquCase } from "../units/cases.ts";
import { nquVectors } from "../units/nqu.ts";
import { assertSame, caseName } from "../units/support.ts";
import { Request, STALLS, simulate, skipReason } from "./support.ts";

const skip = skipReason("nqu");
const FORMAT: Record<ActivationBits, number> = { 4: 0, 5: 1, 6: 2, 8: 3 };

/** Of A8, which has no scales, ones. */
type Found = Codes & { cycles: number; tail: number };

/** Vectors of one length, once for each chance of stalls. */
function run(vectors: readonly number[][], bits: ActivationBits, seed: number, stalls: readonly number[]): Found[][] {
  const inputs = vectors[0]!.length;
  const padded = Math.ceil(inputs / 32) * 32;
  const requests = stalls.map((stall) => {
    const request = new Request(seed, stall).words(inputs, FORMAT[bits], vectors.length);
    for (const a of vectors) request.words32(a);
    return request;
  });
  const result = simulate("nqu", requests);
  const found = stalls.map(() => {
    assert.equal(result.u32(), 0, "refused");
    return vectors.map(() => {
      const [cycles, tail] = [result.cycles(), result.cycles()];
      const [e, S] = [result.u32(), result.i64()];
      const v = result.bytes8(padded);
      return { bits, cycles, tail, e, S, v, sa: result.bytes8(padded / 16).map((sa) => sa & 255) };
    });
  });
  assert.ok(result.done);
  return found;
}

function check(vectors: readonly number[][], bits: ActivationBits, seed: number): void {
  const expected = vectors.map((a) => nqu(a, bits));
  run(vectors, bits, seed, STALLS).forEach((runs, stall) => {
    for (const [i, found] of runs.entries()) {
      const { v, sa, e, S } = expected[i]!;
      const what = `stalls ${STALLS[stall]}, vector ${i}`;
      assert.equal(found.e, e, `${what}: exponent`);
      assertSame(found.v, v, `${what}: v`);
      assertSame(found.sa, bits === 8 ? found.sa.map(() => 1) : sa, `${what}: sa`);
      assert.equal(found.S, S, `${what}: S`);
    }
  });
}

/** Residuals end at 2^30; a stream of int32 does not. */
function extremes(K: number): number[][] {
  const [LOW, HIGH] = [-(2 ** 31), 2 ** 31 - 1];
  const random = new Random(K);
  return [
    Array.from({ length: K }, () => LOW),
    Array.from({ length: K }, () => HIGH),
    Array.from({ length: K }, () => (random.integer(0, 1) === 0 ? LOW : HIGH)),
    Array.from({ length: K }, (_, i) => (i === K - 1 ? LOW : 0)),
    Array.from({ length: K }, () => random.integer(LOW, HIGH)),
  ];
}

/** Every t = R / 2^e that a group can have, so every way that sa is rounded, and every sa. */
function everyScale(bits: 4 | 5 | 6): number[][] {
  const top = bits === 6 ? 7905 : 3825;
  const size = bits === 4 ? 16 : 32;
  const random = new Random(bits);
  const vectors: number[][] = [];
  for (let from = 0; from <= top; from += 8192 / size) {
    const a = Array.from({ length: 8192 }, (_, i) => {
      const R = Math.min(from + Math.floor(i / size), top);
      return i % size === 7 ? R : random.integer(0, R);
    });
    // The largest group fixes e at 0.
    a[8191] = top;
    vectors.push(a);
  }
  return vectors;
}

/** Groups far smaller than the vector's largest, with every small end: x, codes and zero points fall on ties. */
function smallGroups(bits: ActivationBits, e: number): number[][] {
  const top = { 4: 3825, 5: 3825, 6: 7905, 8: 127 }[bits] * 2 ** e;
  const random = new Random(100 * bits + e);
  const ends = Array.from({ length: 41 * 41 }, (_, i) => [-(i % 41), Math.floor(i / 41)] as const);
  const a = ends.flatMap(([low, high]) => [low, high, ...Array.from({ length: 14 }, () => random.integer(low, high))]);
  const vectors: number[][] = [];
  for (let from = 0; from < a.length; from += 8160) {
    const part = a.slice(from, from + 8160);
    vectors.push([...part, ...new Array<number>(8160 - part.length).fill(0), ...new Array<number>(31).fill(0), top]);
  }
  return vectors;
}

describe("lm_nqu", { skip }, () => {
  NQU_CASES.forEach((shape: NquCase, seed) => {
    test(caseName(shape), () => check(nquVectors(shape, seed), shape.bits, seed + 1));
  });

  for (const bits of [4, 5, 6, 8] as const) {
    test(`A${bits}: the ends of int32`, () => {
      for (const K of [1, 16, 47, 256]) check(extremes(K), bits, K);
    });
  }

  for (const bits of [4, 5, 6, 8] as const) {
    test(`A${bits}: groups far below the largest, and their ties`, () => {
      for (const e of [0, 1, 2, 3, 5, 6]) {
        const vectors = smallGroups(bits, e);
        run(vectors, bits, e, [0])[0]!.forEach((found, i) => {
          const expected = nqu(vectors[i]!, bits);
          assert.equal(found.e, e);
          assertSame(found.v, expected.v, `e ${e}, vector ${i}: v`);
          assert.equal(found.S, expected.S, `e ${e}, vector ${i}: S`);
        });
      }
    });
  }

  for (const bits of [4, 5, 6] as const) {
    test(`A${bits}: every scale, however it is rounded`, () => {
      const vectors = everyScale(bits);
      run(vectors, bits, 1, [0])[0]!.forEach((found, i) => {
        const expected = nqu(vectors[i]!, bits);
        assertSame(found.sa, expected.sa, `vector ${i}: sa`);
        assertSame(found.v, expected.v, `vector ${i}: v`);
      });
    });
  }

  test("cycles: two sweeps of a group of 16 a cycle, and 12 between and behind", () => {
    for (const K of [16, 640, 2560, 5120, 8192]) {
      const groups = Math.ceil(K / 32) * 2;
      const [found] = run([Array.from({ length: K }, (_, i) => i)], 4, 1, [0])[0]!;
      assert.deepEqual([found!.cycles, found!.tail], [2 * groups + 12, 2 * groups + 12 - Math.ceil(K / 16)], `K ${K}`);
    }
  });

  test("refuses no inputs, and more than the build holds", () => {
    for (const inputs of [0, 8193, 16383]) {
      const result = simulate("nqu", new Request(1, 0).words(inputs, 0, 0));
      assert.equal(result.u32(), 1, `${inputs} inputs`);
      assert.ok(result.done);
    }
  });
});
