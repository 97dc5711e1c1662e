/** SSMU: tokens in a row through one layer; y, u, the norm's factor and the whole state are compared after each. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { initialState, type OracleLayerState, TOKEN_PERIOD } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import type { StateBits } from "../oracle/ssmu.ts";
import { BACKENDS, type Ssmu } from "./backend.ts";
import { SSMU_CASES, type SsmuCase, STATE_BITS, WIDE_SSMU_CASES } from "./cases.ts";
import {
  edgeToken,
  gateToken,
  modelOf,
  nothingSeen,
  plainModel,
  randomSegments,
  type Seen,
  scanToken,
  wildState,
} from "./scan.ts";
import { assertSame, caseName } from "./support.ts";

function compareState(found: OracleLayerState, expected: OracleLayerState, what: string): void {
  assertSame(found.F, expected.F, `${what}: F`);
  assertSame(found.taps.flat(), expected.taps.flat(), `${what}: taps`);
  const [have, want] = [found.groups.flat(), expected.groups.flat()];
  assertSame(
    have.map(({ eh }) => eh),
    want.map(({ eh }) => eh),
    `${what}: exponents`,
  );
  assertSame(
    have.flatMap(({ h }) => h),
    want.flatMap(({ h }) => h),
    `${what}: codes`,
  );
}

function run(shape: SsmuCase, bits: StateBits, seed: number, tokens: number, seen: Seen): void {
  const random = new Random(seed + 100);
  const model = modelOf(shape, bits, seed);
  const units: [name: string, unit: Ssmu][] = BACKENDS.map((backend) => [backend.name, backend.ssmu(model)]);
  const state = initialState(model).layers[0]!;
  for (const [name, unit] of units) compareState(unit.state(0), state, `${name}, after reset`);
  const first = shape.from ?? 0;
  for (let index = first; index < first + tokens; index++) {
    const t = index % TOKEN_PERIOD;
    if (shape.kind === "wild" && random.integer(0, 3) === 0) {
      wildState(state, bits, random);
      for (const [, unit] of units) unit.setState(state, t);
    }
    const segments = randomSegments(model, random, shape.kind);
    const y = scanToken(model, state, segments, t, seen);
    const { u, factor } = gateToken(model, y, segments.z, seen);
    for (const [name, unit] of units) {
      const found = unit.token(segments, t);
      const what = `${name}, token ${t}`;
      assertSame(found.y, y, `${what}: y`);
      assertSame(found.u, u, `${what}: u`);
      assert.deepEqual(found.factor, factor, `${what}: factor`);
      compareState(unit.state((t + 1) % TOKEN_PERIOD), state, what);
    }
  }
}

/**
 * Codes at their ends and inputs of every size beside them: the largest sums, and each shift between the two. With codes of 0 what is left of the
 * input is the new code, to its last bit.
 */
function runEdge(bits: StateBits, beside: number, full: boolean): void {
  // 8 bits: in a shape as published models have it, since the host's kernels leave others to WebAssembly.
  const model = bits === 8 ? plainModel(bits, 128, 16) : plainModel(bits);
  const random = new Random(beside + 50);
  const units = BACKENDS.map((backend) => ({ name: backend.name, unit: backend.ssmu(model) }));
  for (let t = 0; t < 16; t++) {
    const { segments, state } = edgeToken(model, bits, { random, beside, t, full });
    for (const { unit } of units) unit.setState(state, t);
    const y = scanToken(model, state, segments, t, nothingSeen());
    for (const { name, unit } of units) {
      assertSame(unit.token(segments, t).y, y, `${name}, token ${t}: y`);
      compareState(unit.state(t + 1), state, `${name}, token ${t}`);
    }
  }
}

for (const bits of STATE_BITS) {
  describe(`SSMU, ${bits}-bit state`, () => {
    const seen = nothingSeen();
    for (let beside = -18; beside <= 18; beside++) {
      test(`full codes, their exponent ${beside} above the input's`, () => runEdge(bits, beside, true));
      test(`codes of 0, their exponent ${beside} above the input's`, () => runEdge(bits, beside, false));
    }
    [...SSMU_CASES, ...WIDE_SSMU_CASES].forEach((shape, index) => {
      test(caseName(shape), () => {
        // Wild constants are drawn anew every ten tokens' worth.
        const rounds = shape.kind === "wild" ? 10 : 1;
        for (let round = 0; round < rounds; round++) {
          run(shape, bits, 1 + index * 100 + round, shape.tokens / rounds, seen);
        }
      });
    });

    test("together the cases reach every edge", () => {
      for (const k of [0, 1, 7, 8, 31, 64, 127]) assert.ok(seen.k.has(k), `no token with k = ${k}`);
      assert.deepEqual(seen.exponents, [-64, 63]);
      const { saturatedY, saturatedG, saturatedU, emptyGroups } = seen;
      assert.ok(Math.min(saturatedY, saturatedG, saturatedU, emptyGroups) > 100, JSON.stringify(seen));
    });
  });
}
