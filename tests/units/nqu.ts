/** Vectors of the NQU's cases. */
import { Random } from "../oracle/random.ts";
import type { NquCase, NquPattern } from "./cases.ts";

/** The largest residual; an HTU output can be one more. */
const LARGEST = 2 ** 30;

/** Values of a pattern: more than one vector where one would not show it all. */
const PATTERNS: Record<NquPattern, (K: number, random: Random) => number[][]> = {
  zero: (K) => [vector(K, () => 0)],
  "one value": (K, random) => [1, 7, 1000, 2 ** 20, LARGEST].map((x) => one(K, random, x)),
  "minus one": (K, random) => [-1, -127, -(2 ** 17), -LARGEST].map((x) => one(K, random, x)),
  edges: (K, random) => [vector(K, () => [-LARGEST, LARGEST, LARGEST - 1, 0, -1][random.integer(0, 4)]!)],
  wide: (K, random) => [10, 100, 2 ** 15, 2 ** 30].map((top) => vector(K, () => random.integer(-top, top))),
  positive: (K, random) => [255, 2 ** 30].map((top) => vector(K, () => random.integer(top >> 1, top))),
  negative: (K, random) => [255, 2 ** 30].map((top) => vector(K, () => -random.integer(top >> 1, top))),
  "one-sided groups": (K, random) => [vector(K, (i) => (Math.floor(i / 16) % 2 ? 1 : -1) * random.integer(0, 50000))],
  ties: (K, random) => [1, 4, 9].map((e) => vector(K, () => random.integer(-40, 40) * 2 ** e + 2 ** (e - 1))),
  sparse: (K, random) => [vector(K, () => (random.integer(0, 19) === 0 ? random.integer(-9999, 9999) : 0))],
  "every exponent": everyExponent,
  outlier: (K, random) => [vector(K, (i) => (i === K >> 1 ? 2 ** 29 : random.integer(-3000, 3000)))],
};

function vector(K: number, f: (i: number) => number): number[] {
  return Array.from({ length: K }, (_, i) => f(i));
}

function one(K: number, random: Random, x: number): number[] {
  const at = random.integer(0, K - 1);
  return vector(K, (i) => (i === at ? x : 0));
}

/** The largest range or magnitude that an exponent holds, and one more: A4 and A5, A6, A8 step at different places. */
function everyExponent(K: number, random: Random): number[][] {
  const vectors: number[][] = [];
  for (let e = 0; e <= 23; e++) {
    for (const limit of [3825 * 2 ** e, 7905 * 2 ** e, 127 * 2 ** e + 2 ** e / 2 - 1, 128 * 2 ** e]) {
      for (const most of [Math.floor(limit), Math.floor(limit) + 1]) {
        if (most > LARGEST) continue;
        const at = random.integer(0, K - 1);
        const reach = Math.floor(most / 3);
        vectors.push(vector(K, (i) => (i === at ? most : K < 100 ? random.integer(0, reach) : 0)));
      }
    }
  }
  return vectors;
}

/** The vectors of a case: each place in the table has its own. */
export function nquVectors({ K, pattern }: NquCase, seed: number): number[][] {
  return PATTERNS[pattern](K, new Random(seed + 1));
}
