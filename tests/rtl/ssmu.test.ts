/** lm_ssmu against tests/oracle: tokens in a row, with and without stalls; y, F and the whole state. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { initialState, randomModel, TOKEN_PERIOD } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { SSMU_CASES, type SsmuCase } from "../units/cases.ts";
import { edgeToken, modelOf, nothingSeen, plainModel, randomSegments, type Seen, wildState } from "../units/scan.ts";
import { caseName } from "../units/support.ts";
import { Jobs } from "./ssmu-jobs.ts";
import { STALLS, skipReason } from "./support.ts";

/** State groups that a round feeds to the simulation: enough, and quick. */
const GROUPS_A_ROUND = 3000;

function jobsOf(shape: SsmuCase, seed: number, tokens: number, seen: Seen): Jobs {
  const random = new Random(seed + 100);
  const model = modelOf(shape, 8, seed);
  const state = initialState(model).layers[0]!;
  const jobs = new Jobs();
  for (let i = 0; i < tokens; i++) {
    if (shape.kind === "wild" && random.integer(0, 3) === 0) wildState(state, 8, random);
    const t = ((shape.from ?? 0) + i) % TOKEN_PERIOD;
    jobs.add(model, state, randomSegments(model, random, shape.kind), t, seen);
  }
  return jobs;
}

for (const build of ["ssmu", "ssmu-wide"]) {
  describe(`${build} in logic`, { skip: skipReason("ssmu") }, () => {
    const seen = nothingSeen();
    SSMU_CASES.forEach((shape, index) => {
      test(caseName(shape), () => {
        const { H, P, N, tokens } = shape;
        const most = Math.ceil(GROUPS_A_ROUND / (H * P * Math.ceil(N / 16)));
        // Wild constants are drawn anew each round.
        const rounds = (shape.kind === "wild" ? 4 : 2) / (build === "ssmu" ? 1 : 2);
        for (let round = 0; round < rounds; round++) {
          const jobs = jobsOf(shape, 1 + index * 100 + round, Math.min(tokens, most), seen);
          for (const stall of round === 0 ? STALLS : [STALLS[round % STALLS.length]!]) jobs.run(build, round, stall);
        }
      });
    });

    test("full codes, their exponent -30 to 44 above the input's", () => {
      const model = plainModel(8);
      const jobs = new Jobs();
      for (let beside = -30; beside <= 44; beside++) {
        const random = new Random(beside + 50);
        for (let t = 0; t < 16; t++) {
          const { segments, state } = edgeToken(model, 8, { random, beside, t, full: true });
          jobs.add(model, state, segments, t);
        }
      }
      for (const stall of STALLS) jobs.run(build, 1, stall);
    });

    test("an exponent of -64 stays, and below it nothing does", () => {
      const model = plainModel(8);
      Object.assign(model.layers[0]!, { fxs: 16, fBs: 16 });
      [model.dtLow, model.dtHigh] = [1, 1];
      const { H, P, N } = model.shape;
      const zeros = (length: number) => Array.from({ length }, () => 0);
      const segments = { z: zeros(H * P), x: zeros(H * P), B: zeros(N), C: zeros(N).fill(5000), dt: zeros(H) };
      const jobs = new Jobs();
      for (const eh of [-64, -63]) {
        for (const code of [127, -127, 64, -64, 63, 32, 31, 1]) {
          const state = initialState(model).layers[0]!;
          state.groups = state.groups.map((groups) => groups.map(() => ({ h: zeros(16).fill(code, 3, 9), eh })));
          jobs.add(model, state, segments, code + 200);
          const faded = state.groups[0]![0]!.h.every((h) => h === 0);
          assert.equal(faded, Math.abs(code) < (eh === -64 ? 64 : 32));
        }
      }
      for (const stall of STALLS) jobs.run(build, 1, stall);
    });

    test("jobs of different shapes by turns", () => {
      const jobs = new Jobs();
      for (let i = 0; i < 3 * SSMU_CASES.length; i++) {
        const shape = SSMU_CASES[(i * 7) % SSMU_CASES.length]!;
        const random = new Random(i + 900);
        const model = modelOf(shape, 8, i + 900);
        const state = initialState(model).layers[0]!;
        wildState(state, 8, random);
        jobs.add(model, state, randomSegments(model, random, shape.kind), random.integer(0, TOKEN_PERIOD - 1));
      }
      for (const stall of STALLS) jobs.run(build, 3, stall);
    });

    test("heads of the 2.7B shape: 64 × 128, a group of 16 a lane and cycle", () => {
      const shape = { D: 8, H: 4, P: 64, N: 128, G: 1, W: 4, V: 2, layers: 1 };
      const model = randomModel(5, shape);
      const state = initialState(model).layers[0]!;
      const random = new Random(6);
      const lanes = build === "ssmu" ? 1 : 2;
      const overhead = [0, 1].map((warm) => {
        const jobs = new Jobs();
        jobs.add(model, state, randomSegments(model, random, "calm"), warm);
        return jobs.run(build, 1, 0) - (4 * 64 * 8) / lanes;
      });
      // B and C first, 2 · (N + 9), the first head, P + 5, and the pipeline's length.
      for (const cycles of overhead) assert.ok(cycles > 0 && cycles < 420, `${cycles} cycles beside the state's`);
    });

    test("together the cases reach every edge", () => {
      for (const k of [0, 1, 7, 8, 31, 64]) assert.ok(seen.k.has(k), `no token with k = ${k}`);
      assert.deepEqual(seen.exponents, [-64, 63]);
      assert.ok(seen.emptyGroups > 100, JSON.stringify(seen));
    });
  });
}
