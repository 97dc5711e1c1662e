/** SSMU: tokens in a row through one layer; y, u, the norm's factor and the whole state are compared after each. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  initialState,
  type OracleLayerState,
  type OracleModel,
  randomModel,
  type Segments,
  TOKEN_PERIOD,
} from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import type { StateBits } from "../oracle/ssmu.ts";
import { BACKENDS, type Ssmu } from "./backend.ts";
import { SSMU_CASES, type SsmuCase, STATE_BITS } from "./cases.ts";
import { gateToken, makeWild, nothingSeen, type Seen, scanToken, wildState } from "./scan.ts";
import { assertSame, caseName } from "./support.ts";

/** Raw inputs of one token: normal ones, silence, all of int16, or its ends. */
function randomSegments({ shape }: OracleModel, random: Random, kind: SsmuCase["kind"]): Segments {
  const { H, P, N, G } = shape;
  const mood = kind === "calm" ? 0 : random.integer(0, 5);
  const value = (): number => {
    if (mood === 1) return 0;
    if (mood === 2) return random.integer(-32768, 32767);
    if (mood === 3) return random.integer(0, 1) === 0 ? -32768 : 32767;
    return Math.max(-32768, Math.min(32767, Math.round(random.normal() * 2500)));
  };
  const part = (length: number) => Array.from({ length }, value);
  return { z: part(H * P), x: part(H * P), B: part(G * N), C: part(G * N), dt: part(H) };
}

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

function modelOf({ H, P, N, G, W, normGroups, kind }: SsmuCase, stateBits: StateBits, seed: number): OracleModel {
  const stress = kind !== "calm";
  const model = randomModel(seed, { D: 8, H, P, N, G, W, V: 2, layers: 1, normGroups, stateBits, stress });
  if (kind === "wild") makeWild(model, new Random(seed));
  return model;
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

for (const bits of STATE_BITS) {
  describe(`SSMU, ${bits}-bit state`, () => {
    const seen = nothingSeen();
    SSMU_CASES.forEach((shape, index) => {
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
