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
import { dtTimesX, quantizeBC, type StateBits } from "../oracle/ssmu.ts";
import { silu } from "../oracle/tables.ts";
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

/** No decay, a constant time step, and a conv that passes its newest input. */
function plainModel(stateBits: StateBits): OracleModel {
  const model = randomModel(1, { D: 8, H: 2, P: 8, N: 32, G: 1, W: 2, V: 2, layers: 1, stateBits });
  const layer = model.layers[0]!;
  Object.assign(layer, { fx: 11, fB: 11, fC: 11, fw: 14, fxs: 11, fBs: 11, fCs: 11 });
  layer.convWeight = layer.convWeight.map(() => [0, 2 ** 14]);
  layer.convBias = layer.convBias.map(() => 0);
  layer.am = layer.am.map(() => 0);
  [model.dtLow, model.dtHigh] = [2 ** 20, 2 ** 20];
  return model;
}

/** Exponent of the products of codes that a token of a plain model adds to the state of a head. */
function addedExponent({ shape, dtLow }: OracleModel, { x, B }: Segments, head: number): number {
  const own = x.slice(head * shape.P, (head + 1) * shape.P).map((raw) => silu(BigInt(raw), 11));
  const keys = B.map((raw) => silu(BigInt(raw), 11));
  return dtTimesX(dtLow, 32768, own, 11).exponent + quantizeBC(keys, 11).exponent;
}

/** Codes at their ends and inputs of every size beside them: the largest sums, and each shift between the two. */
function runFull(bits: StateBits, beside: number): void {
  const model = plainModel(bits);
  const random = new Random(beside + 50);
  const units = BACKENDS.map((backend) => ({ name: backend.name, unit: backend.ssmu(model) }));
  const { shape } = model;
  const top = 2 ** (bits - 1) - 1;
  const large = (length: number) => Array.from({ length }, () => random.integer(9000, 16000));
  for (let t = 0; t < 16; t++) {
    const [x, B] = [large(shape.H * shape.P), large(shape.N)];
    const segments: Segments = { z: large(x.length), x, B, C: large(shape.N), dt: [0, 0] };
    const state = initialState(model).layers[0]!;
    state.groups = state.groups.map((groups, channel) =>
      groups.map(() => {
        const eh = addedExponent(model, segments, Math.floor(channel / shape.P)) + beside;
        return { h: Array.from({ length: 16 }, () => top - random.integer(0, t % 4)), eh };
      }),
    );
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
      test(`full codes, their exponent ${beside} above the input's`, () => runFull(bits, beside));
    }
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
