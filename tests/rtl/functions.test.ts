/** The tabulated functions in logic, over their whole input ranges: lm_silu, lm_exp2n, lm_softplus, lm_norm. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rsh } from "../oracle/primitives.ts";
import { Random } from "../oracle/random.ts";
import { exp2n, norm, rootOf, silu, softplus } from "../oracle/tables.ts";
import { pipe } from "./pipe.ts";
import { STALLS, skipReason } from "./support.ts";

/** Every `stride`-th value of low..high, its ends, and the neighbours of each edge. */
function range(low: number, high: number, stride: number, edges: readonly number[] = []): number[] {
  const values: number[] = [];
  for (let value = low; value <= high; value += stride) values.push(value);
  for (const edge of [low, high, 0, ...edges]) {
    for (let near = edge - 3; near <= edge + 3; near++) if (near >= low && near <= high) values.push(near);
  }
  return values;
}

/** Signed numbers of every length up to `bits`, with their neighbours. */
function lengths(random: Random, bits: number, each: number): bigint[] {
  const values: bigint[] = [];
  for (let length = 0; length <= bits; length++) {
    const top = 2n ** BigInt(length);
    for (const value of [top, top - 1n, top - 2n]) values.push(value, -value);
    for (let i = 0; i < each; i++) {
      const value = (BigInt(random.integer(0, 2 ** 31)) * top) >> 31n;
      values.push(value + BigInt(random.integer(-2, 2)), -value);
    }
  }
  return values;
}

type Row = (number | bigint)[];

/** The unit's results for these beats, with and without stalls, and the cycles without. */
function same(unit: string, beats: Row[], expected: Row[], latency: number): void {
  for (const stall of STALLS) {
    const { cycles, results } = pipe(unit, { seed: stall + 1, stall, beats, outputs: expected[0]!.length });
    for (const [index, row] of expected.entries()) {
      const found = results[index]!;
      if (row.every((value, i) => BigInt(value) === found[i])) continue;
      assert.fail(`${unit}(${beats[index]!.join(", ")}): expected ${row.join(", ")}, found ${found.join(", ")}`);
    }
    if (stall === 0) assert.equal(cycles, beats.length + latency, "cycles: one beat each, and the latency");
  }
}

describe("silu in logic", { skip: skipReason("silu") }, () => {
  test("all of Q11 up to ±16, the clamp and beyond, every output format", () => {
    const beats: Row[] = range(-33000, 33000, 1, [-32768, 32768]).map((u, i) => [u, 0, (i * 7) % 17]);
    for (let fo = 0; fo <= 16; fo++) {
      for (const u of range(-(2 ** 20) - 50, 2 ** 20 + 50, 3001, [-(2 ** 20), 2 ** 20, -(2 ** 15), 2 ** 15])) {
        beats.push([u, 0, fo]);
      }
    }
    same(
      "silu",
      beats,
      beats.map(([u, , fo]) => [silu(BigInt(u!), Number(fo))]),
      4,
    );
  });

  test("every shift before it", () => {
    const random = new Random(7);
    const beats: Row[] = [];
    for (const v of lengths(random, 30, 3)) {
      for (let shift = -32; shift <= 63; shift++) beats.push([v, shift, random.integer(0, 16)]);
    }
    same(
      "silu",
      beats,
      beats.map(([v, shift, fo]) => [silu(rsh(BigInt(v!), Number(shift)), Number(fo))]),
      4,
    );
  });
});

describe("exp2n in logic", { skip: skipReason("exp2n") }, () => {
  test("0 to 2^24", () => {
    const values = range(0, 2 ** 24, 251, [2 ** 18, 2 ** 23, 63 * 2 ** 18]);
    same(
      "exp2n",
      values.map((f) => [f]),
      values.map((f) => [exp2n(BigInt(f))]),
      2,
    );
  });
});

describe("softplus in logic", { skip: skipReason("softplus") }, () => {
  test("±64, and beyond the clamp", () => {
    const edges = [-(2 ** 22), 2 ** 22, -(2 ** 20), 2 ** 20, -(2 ** 14), 2 ** 14];
    const values = [
      ...range(-(2 ** 22) - 500, 2 ** 22 + 500, 127, edges).map(BigInt),
      ...lengths(new Random(3), 38, 2),
      2n ** 39n - 1n,
      -(2n ** 39n),
    ];
    same(
      "softplus",
      values.map((v) => [v]),
      values.map((v) => [softplus(v)]),
      5,
    );
  });
});

describe("norm in logic", { skip: skipReason("norm") }, () => {
  test("sums of every length up to 64 bits, roots of every size", () => {
    const random = new Random(4);
    const sums = lengths(random, 63, 20).map((sum) => BigInt.asUintN(64, sum));
    const roots = sums.map(() => rootOf(random.integer(1, 8192)));
    const factors = sums.map((sum, i) => norm(sum, roots[i]!));
    same(
      "norm",
      sums.map((sum, i) => [sum, roots[i]!.nm, roots[i]!.ne]),
      factors.map(({ m, j, ne }) => [m, 7 + j + ne]),
      5,
    );
  });
});
