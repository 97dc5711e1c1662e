/** lm_htu against the definition and against the golden unit: every shape of the table that the build can hold. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type HadamardShape, hadamardSigns, type OracleHadamard } from "../oracle/hadamard.ts";
import { Random } from "../oracle/random.ts";
import { HTU_CASES } from "../units/cases.ts";
import { inputs } from "../units/htu.ts";
import { assertSame, caseName } from "../units/support.ts";
import { columnsOf, split, transformed } from "./htu.ts";
import { Request, STALLS, simulate, skipReason } from "./support.ts";

/** A build's largest m and k; its sums have room for 8192 terms. */
interface Build {
  name: string;
  maxM: number;
  maxK: number;
}

const BUILDS: readonly Build[] = [
  { name: "htu", maxM: 64, maxK: 7 },
  { name: "htu-small", maxM: 16, maxK: 5 },
];
const skip = skipReason("htu");

interface Outcome {
  bad: number;
  /** Of each vector: cycles, first word in to last beat out; those after the last word in; w. */
  vectors: { cycles: number; tail: number; w: number[] }[];
}

function run(
  build: Build,
  shape: OracleHadamard,
  vectors: readonly Int32Array[],
  seed: number,
  stall: number,
): Outcome {
  const { blocks, m, k } = shape;
  const request = new Request(seed, stall)
    .words(blocks, m, k, vectors.length)
    .words32(columnsOf(shape, Math.ceil(build.maxM / 32)));
  for (const u of vectors) request.words32(u);
  const result = simulate(build.name, request);
  const bad = result.u32();
  const count = bad === 0 ? vectors.length : 0;
  const outcome = Array.from({ length: count }, () => ({
    cycles: result.cycles(),
    tail: result.cycles(),
    w: result.words32((blocks * m) << k),
  }));
  assert.ok(result.done);
  return { bad, vectors: outcome };
}

function check(build: Build, hadamard: OracleHadamard, seed: number): void {
  const random = new Random(seed + 1);
  const vectors = inputs(hadamard, random);
  const expected = vectors.map((u) => transformed(u, hadamard, random));
  for (const stall of STALLS) {
    // Long vectors with many stalls: one tells as much as four.
    const some = stall > 100 && vectors[0]!.length > 1000 ? vectors.slice(0, 1) : vectors;
    const found = run(build, split(hadamard, build.maxK), some, seed + 1, stall);
    assert.equal(found.bad, 0);
    for (const [i, { w }] of found.vectors.entries()) assertSame(w, expected[i]!, `stalls ${stall}, vector ${i}: w`);
  }
}

/** Whether a build holds a shape, whole or split. */
function fits(build: Build, { m, k }: HadamardShape): boolean {
  return m * 2 ** Math.max(0, k - build.maxK) <= build.maxM;
}

describe("lm_htu", { skip }, () => {
  for (const build of BUILDS) {
    const shapes = HTU_CASES.filter((shape) => fits(build, shape));
    shapes.forEach((shape, seed) => {
      test(`${build.name}: ${caseName(shape)}`, () => check(build, { ...shape, signs: hadamardSigns(shape.m) }, seed));
    });
  }

  test("every order of the table up to the built maximum, and all of E up to 8192 of powers of two, were among them", () => {
    const shapes = HTU_CASES.filter((shape) => fits(BUILDS[0]!, shape));
    assert.deepEqual(
      [...new Set(shapes.map(({ m }) => m))].sort((a, b) => a - b),
      [1, 12, 20, 28, 36, 44, 60],
    );
    assert.ok(shapes.some(({ m, k }) => m === 1 && k === 13));
  });

  test("cycles: as docs/units/htu.md says", () => {
    const { maxK } = BUILDS[0]!;
    for (const [blocks, m, k] of [
      [1, 20, 5],
      [1, 12, 7],
      [1, 40, 7],
      [1, 64, 7],
      [1, 12, 3],
      [1, 1, 7],
      [9, 1, 4],
      [640, 1, 0],
    ] as const) {
      const E = (blocks * m) << k;
      const signs = Array.from({ length: m }, () => new Array<number>(m).fill(1));
      const [found] = run(BUILDS[0]!, { blocks, m, k, signs }, [new Int32Array(E)], 1, 0).vectors;
      const tail = m === 1 ? 2 ** k + maxK : 2 ** k + maxK + 5 + m * Math.max(1, 2 ** k / 16);
      assert.deepEqual([found!.cycles, found!.tail], [E + tail, tail], `${blocks}, ${m}, ${k}`);
    }
  });

  test("refuses what the build cannot hold", () => {
    for (const [blocks, m, k] of [
      [0, 1, 0],
      [1, 0, 0],
      [1, 65, 0],
      [1, 1, 8],
    ] as const) {
      const request = new Request(1, 0).words(blocks, m, k, 0).words32(new Array(2 * m).fill(0));
      const result = simulate("htu", request);
      assert.equal(result.u32(), 1, `${blocks}, ${m}, ${k}`);
    }
  });
});
