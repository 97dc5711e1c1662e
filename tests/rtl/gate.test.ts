/** lm_gate against tests/oracle: u, the norm's factor and Σ g², plain and grouped, with and without stalls. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { OracleModel } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { gated, sumOfSquares } from "../oracle/ssmu.ts";
import { SSMU_CASES, type SsmuCase } from "../units/cases.ts";
import { gateToken, modelOf, nothingSeen, type Seen } from "../units/scan.ts";
import { assertSame, caseName } from "../units/support.ts";
import { Request, STALLS, simulate, skipReason } from "./support.ts";

/** Largest norm group of the build, where there are several. */
const GROUP = 256;

interface Token {
  model: OracleModel;
  y: number[];
  z: number[];
}

/** y and z of all sizes, zeros and ends. */
function drawToken(model: OracleModel, random: Random): Token {
  const { H, P } = model.shape;
  const mood = random.integer(0, 3);
  const value = (bits: number): number => {
    const top = 2 ** (bits - 1);
    if (mood === 0) return 0;
    if (mood === 1) return random.integer(0, 1) === 0 ? -top : top - 1;
    const size = mood === 2 ? top : 2 ** random.integer(0, bits - 1);
    return Math.max(-top, Math.min(top - 1, random.integer(-size, size)));
  };
  const channels = Array.from({ length: H * P });
  return { model, y: channels.map(() => value(32)), z: channels.map(() => value(16)) };
}

function configOf({ shape, layers, normGroups, rootE }: OracleModel): number[] {
  const E = shape.H * shape.P;
  const { fz, fzs, fg, fGamma, fu, epsE } = layers[0]!;
  const ushift = (normGroups > 1 ? 16 : fg) + fGamma - fu;
  const eps = [Number(epsE & 0xffffffffn), Number(epsE >> 32n)];
  return [E, E / normGroups, normGroups > 1 ? 1 : 0, fz - 11, fzs, 12 + fzs - fg, ushift, ...eps, rootE.nm, rootE.ne];
}

/** What the module sends after a token: of its last norm group. */
function lastFactor({ model, y, z }: Token, seen: Seen) {
  const layer = model.layers[0]!;
  const { u, factor } = gateToken(model, y, z, seen);
  const g = y.map((value, i) => gated(value, z[i]!, layer));
  const last = g.slice(g.length - g.length / model.normGroups);
  return { u, ...factor, sum: sumOfSquares(last) + layer.epsE };
}

function run(tokens: Token[], seed: number, stall: number, seen: Seen): number {
  const request = new Request(seed, stall).words(tokens.length);
  for (const { model } of tokens) request.words(...configOf(model));
  const y = tokens.flatMap((token) => token.y);
  request.words(y.length).words32(y);
  request.words(y.length).words16(tokens.flatMap(({ z }) => z));
  request.words(y.length).words16(tokens.flatMap(({ model }) => model.layers[0]!.gamma2));
  const result = simulate("gate", request);
  const cycles = result.cycles();
  const expected = tokens.map((token) => lastFactor(token, seen));
  const found = result.words32(y.length).map((word) => (word << 14) >> 14);
  assertSame(
    found,
    expected.flatMap(({ u }) => u),
    "u",
  );
  for (const { m, s, sum } of expected) {
    const [low, middle, high] = [result.u32(), result.u32(), result.u32()];
    const word = (BigInt(high) << 64n) | (BigInt(middle) << 32n) | BigInt(low);
    const factor = { m: Number(word & 0xffffn), s: Number(BigInt.asIntN(8, word >> 16n)), sum: word >> 24n };
    assert.deepEqual(factor, { m, s, sum });
  }
  assert.ok(result.done, "more than was expected");
  return cycles;
}

/** Large groups that fill a bank, an odd one, and the plain norm of a long vector. */
const SHAPES: readonly SsmuCase[] = [
  ...SSMU_CASES.filter(({ from }) => from === undefined),
  { H: 8, P: 128, N: 1, G: 4, W: 2, tokens: 1, normGroups: 4, kind: "wild" },
  { H: 6, P: 37, N: 1, G: 2, W: 2, tokens: 1, normGroups: 2, kind: "stress" },
  { H: 40, P: 128, N: 1, G: 1, W: 2, tokens: 1, normGroups: 1, kind: "calm" },
];

describe("gate in logic", { skip: skipReason("gate") }, () => {
  const seen = nothingSeen();
  SHAPES.forEach((shape, index) => {
    test(caseName(shape), () => {
      const random = new Random(index + 1);
      const count = Math.min(20, Math.ceil(4000 / (shape.H * shape.P)));
      assert.ok(shape.normGroups === 1 || (shape.H * shape.P) / shape.normGroups <= GROUP);
      const tokens = Array.from({ length: count }, (_, i) => drawToken(modelOf(shape, 8, 1 + index * 100 + i), random));
      for (const stall of STALLS) run(tokens, index + 1, stall, seen);
    });
  });

  test("plain and grouped tokens by turns", () => {
    const random = new Random(77);
    const tokens = Array.from({ length: 30 }, (_, i) =>
      drawToken(modelOf(SHAPES[i % SHAPES.length]!, 8, 500 + i), random),
    );
    for (const stall of STALLS) run(tokens, 5, stall, seen);
  });

  test("a channel a cycle: plain, and grouped after its first group", () => {
    const random = new Random(78);
    const plain = modelOf({ H: 8, P: 128, N: 1, G: 1, W: 2, tokens: 1, normGroups: 1, kind: "calm" }, 8, 3);
    const grouped = modelOf({ H: 8, P: 128, N: 1, G: 4, W: 2, tokens: 1, normGroups: 4, kind: "calm" }, 8, 3);
    const cycles = [plain, grouped].map((model) => run([drawToken(model, random)], 1, 0, seen));
    assert.ok(cycles[0]! <= 1024 + 24 && cycles[1]! <= 1024 + 256 + 80, `${cycles}`);
  });

  test("together the cases saturate g and u", () => {
    assert.ok(Math.min(seen.saturatedG, seen.saturatedU) > 1000, JSON.stringify(seen));
  });
});
