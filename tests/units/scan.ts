/** A token of one layer from the units of tests/oracle, with what is inside it: y, u, the norm's factor and the state. */
import type { OracleLayer, OracleLayerState, OracleModel, Segments } from "../oracle/model.ts";
import { convolve, initialState, randomModel } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import {
  decay,
  dtTimesX,
  type Exponented,
  gammaGrouped,
  gammaPlain,
  gated,
  output,
  quantizeBC,
  readout,
  type StateBits,
  type StateGroup,
  sumOfSquares,
  timeStep,
  updateGroup,
} from "../oracle/ssmu.ts";
import { norm, silu } from "../oracle/tables.ts";
import type { Factor } from "./backend.ts";
import type { SsmuCase } from "./cases.ts";

const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));

/** What happened, to see that the cases reach what they are for. */
export interface Seen {
  k: Set<number>;
  saturatedY: number;
  saturatedG: number;
  saturatedU: number;
  emptyGroups: number;
  exponents: [low: number, high: number];
}

export function nothingSeen(): Seen {
  return { k: new Set(), saturatedY: 0, saturatedG: 0, saturatedU: 0, emptyGroups: 0, exponents: [127, -128] };
}

function codesOf(values: readonly number[], { G, N }: OracleModel["shape"], fraction: number): Exponented[] {
  return list(G, (g) => {
    const { codes, exponent } = quantizeBC(values.slice(g * N, (g + 1) * N), fraction);
    return { codes: [...codes, ...list((16 - (N % 16)) % 16, () => 0)], exponent };
  });
}

/** y of every channel; the state moves on. */
export function scanToken(
  model: OracleModel,
  state: OracleLayerState,
  segments: Segments,
  t: number,
  seen: Seen,
): number[] {
  const { H, P, G } = model.shape;
  const layer = model.layers[0]!;
  const { x, B, C } = convolve(layer, state, segments);
  const [Bs, Cs] = [codesOf(B, model.shape, layer.fBs), codesOf(C, model.shape, layer.fCs)];
  return list(H, (h) => {
    const dt = timeStep(segments.dt[h]!, layer.fdt, layer.dtBias[h]!, model.dtLow, model.dtHigh);
    const { F, k, c, ci } = decay(state.F[h]!, dt, layer.am[h]!, layer.ae[h]!);
    state.F[h] = F;
    seen.k.add(k);
    const own = x.slice(h * P, (h + 1) * P);
    const { codes, exponent: ex } = dtTimesX(dt, ci, own, layer.fxs);
    const group = Math.floor(h / (H / G));
    const { codes: Bq, exponent: eB } = Bs[group]!;
    return own.map((value, p) => {
      const ch = h * P + p;
      const update = { k, q: codes[p]!, ex, eB, t, ch };
      state.groups[ch] = state.groups[ch]!.map((old, i) =>
        updateGroup(old, { ...update, Bq: Bq.slice(16 * i, 16 * i + 16), n0: 16 * i }, model.stateBits),
      );
      look(state.groups[ch]!, seen);
      const Y = readout(state.groups[ch]!, Cs[group]!.codes, Cs[group]!.exponent);
      return output(Y, c, { Dq: layer.Dq[h]!, x: value, fD: layer.fD, fxs: layer.fxs });
    });
  }).flat();
}

function look(groups: readonly StateGroup[], seen: Seen): void {
  for (const { h, eh } of groups) {
    if (h.every((code) => code === 0)) seen.emptyGroups++;
    seen.exponents = [Math.min(seen.exponents[0], eh), Math.max(seen.exponents[1], eh)];
  }
}

/** u of every channel, and the factor: of the last group of a grouped norm. */
export function gateToken(model: OracleModel, y: readonly number[], z: readonly number[], seen: Seen) {
  const layer = model.layers[0]!;
  const { normGroups: groups, rootE: root } = model;
  const g = y.map((value, i) => gated(value, z[i]!, layer));
  const u =
    groups > 1
      ? gammaGrouped(g, layer.gamma2, { groups, eps: layer.epsE, root }, layer)
      : gammaPlain(g, layer.gamma2, layer);
  const last = g.slice(g.length - g.length / groups);
  const { m, j, ne } = norm(sumOfSquares(last) + layer.epsE, root);
  const at = (values: readonly number[], bits: number) =>
    values.filter((value) => value === 2 ** (bits - 1) - 1 || value === -(2 ** (bits - 1))).length;
  seen.saturatedY += at(y, 32);
  seen.saturatedG += at(g, 24);
  seen.saturatedU += at(u, 18);
  return { u, factor: { m, s: 7 + j + ne } satisfies Factor };
}

/** Any constants that the loader accepts: fractions over their whole ranges, k of the heads from 0 to more than 64. */
export function makeWild(model: OracleModel, random: Random): void {
  const layer = model.layers[0]!;
  const { H } = model.shape;
  const linear = () => random.integer(-4, 24);
  Object.assign(layer, { fz: linear(), fx: linear(), fB: linear(), fC: linear(), fdt: linear(), fw: linear() });
  const silu = () => random.integer(0, 16);
  Object.assign(layer, { fxs: silu(), fBs: silu(), fCs: silu(), fzs: silu() });
  const free = { fD: linear(), fg: random.integer(-4, 30), fGamma: linear(), fu: random.integer(-4, 30) };
  Object.assign(layer, free, { epsE: BigInt(random.integer(0, 2 ** 30)) << BigInt(random.integer(0, 30)) });
  wildConv(layer, random);
  const int16 = () => random.integer(-32768, 32767);
  layer.gamma2 = layer.gamma2.map(int16);
  layer.Dq = list(H, int16);
  layer.dtBias = list(H, () => random.integer(-(2 ** 31), 2 ** 31 - 1) >> random.integer(0, 16));
  layer.am = list(H, (h) => (h === 0 ? 0 : random.integer(0, 65535)));
  layer.ae = list(H, (h) => (h < 4 ? [0, 0, 20, 47][h]! : random.integer(0, 30)));
  model.dtHigh = random.integer(0, 2 ** 30) >> random.integer(0, 24);
  model.dtLow = random.integer(0, 1) * random.integer(0, model.dtHigh);
  if (random.integer(0, 2) === 0) exactHalvings(model, layer);
}

/** A time step of 1 and decays of whole bits: F stays, k is what is listed. */
function exactHalvings(model: OracleModel, layer: OracleLayer): void {
  model.dtLow = 2 ** 24;
  model.dtHigh = 2 ** 24;
  layer.am = layer.am.map((_, h) => [0, 1, 2, 7, 8, 9, 15, 31, 63, 64, 65, 127][h % 12]! * 512);
  layer.ae = layer.ae.map(() => 9);
}

/** Weights and bias at the edge of 2^15 · Σ|weight| + |bias| < 2^31. */
function wildConv(layer: OracleLayer, random: Random): void {
  layer.convWeight = layer.convWeight.map((row) => {
    const reach = Math.floor((2 ** 16 - 2 ** 14) / row.length) >> random.integer(0, 8);
    return row.map(() => Math.max(-32768, Math.min(32767, random.integer(-reach, reach))));
  });
  layer.convBias = layer.convBias.map(() => random.integer(-(2 ** 29), 2 ** 29) >> random.integer(0, 20));
}

/** A state that may come from anywhere: all exponents, all codes, some groups empty. */
export function wildState(state: OracleLayerState, bits: StateBits, random: Random): void {
  const top = 2 ** (bits - 1) - 1;
  state.F = state.F.map(() => random.integer(0, 2 ** 24 - 1));
  state.taps = state.taps.map((taps) => taps.map(() => random.integer(-32768, 32767)));
  state.groups = state.groups.map((groups) =>
    groups.map(() => {
      const eh = [-64, -63, 63, random.integer(-64, 63), random.integer(-40, 10)][random.integer(0, 4)]!;
      const reach = [top, 3, top, (top + 1) / 2, eh === -64 ? 0 : 1][random.integer(0, 4)]!;
      return { h: list(16, () => random.integer(-reach, reach)), eh };
    }),
  );
}

/** The model of a case. */
export function modelOf(
  { H, P, N, G, W, normGroups, kind }: SsmuCase,
  stateBits: StateBits,
  seed: number,
): OracleModel {
  const stress = kind !== "calm";
  const model = randomModel(seed, { D: 8, H, P, N, G, W, V: 2, layers: 1, normGroups, stateBits, stress });
  if (kind === "wild") makeWild(model, new Random(seed));
  return model;
}

/** Raw inputs of one token: normal ones, silence, all of int16, or its ends. */
export function randomSegments({ shape }: OracleModel, random: Random, kind: SsmuCase["kind"]): Segments {
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

/** No decay, a constant time step, and a conv that passes its newest input. */
export function plainModel(stateBits: StateBits, N = 32, P = 8): OracleModel {
  const model = randomModel(1, { D: 8, H: 2, P, N, G: 1, W: 2, V: 2, layers: 1, stateBits });
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

/** Codes at their ends, or all 0, in groups whose exponent is `beside` above that of the input's products. */
export function edgeToken(
  model: OracleModel,
  bits: StateBits,
  { random, beside, t, full }: { random: Random; beside: number; t: number; full: boolean },
): { segments: Segments; state: OracleLayerState } {
  const { shape } = model;
  const top = 2 ** (bits - 1) - 1;
  const large = (length: number) => list(length, () => random.integer(9000, 16000));
  const [x, B] = [large(shape.H * shape.P), large(shape.N)];
  const segments: Segments = { z: large(x.length), x, B, C: large(shape.N), dt: [0, 0] };
  const state = initialState(model).layers[0]!;
  state.groups = state.groups.map((groups, channel) =>
    groups.map(() => {
      const eh = addedExponent(model, segments, Math.floor(channel / shape.P)) + beside;
      return { h: list(16, () => (full ? top - random.integer(0, t % 4) : 0)), eh };
    }),
  );
  return { segments, state };
}
