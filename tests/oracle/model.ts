/** Section 3 of docs/numerics.md: a whole token, on a model and a state of plain objects. */
import { type OracleHadamard, transform, transposed } from "./hadamard.ts";
import { accumulate, type OracleLinear, rowOut, scaleBits } from "./mmu.ts";
import { type ActivationBits, type Codes, codeFraction, nqu } from "./nqu.ts";
import { absolute, clamp, floorShift, pow2, rsh, satN, toNumber } from "./primitives.ts";
import {
  conv,
  decay,
  dtTimesX,
  type Exponented,
  type GateFractions,
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
} from "./ssmu.ts";
import { type NormFactor, norm, type Root } from "./tables.ts";

export { type RandomShape, randomModel } from "./random.ts";

/** The letters of the page: D, H, P, N, G, W, V. E = H · P. */
export interface OracleShape {
  D: number;
  H: number;
  P: number;
  N: number;
  G: number;
  W: number;
  V: number;
}

export interface OracleLayer extends GateFractions {
  /** Rows z [E], x [E], B [G·N], C [G·N], dt [H]; the bias of a row has the f_seg of its segment. */
  inProj: OracleLinear;
  fx: number;
  fB: number;
  fC: number;
  fdt: number;
  /** [E + 2GN][W], oldest tap first; channels x, B, C. */
  convWeight: number[][];
  /** [E + 2GN], Q (f_seg + fw). */
  convBias: number[];
  fw: number;
  fxs: number;
  fBs: number;
  fCs: number;
  /** [H] each: |A| · log2 e = am · 2^-ae. */
  am: number[];
  ae: number[];
  /** [H], Q16. */
  dtBias: number[];
  /** [H], Q fD. */
  Dq: number[];
  fD: number;
  /** [E], Q fGamma. */
  gamma2: number[];
  /** round(eps · (E / normGroups) · 2^(2 fg)). */
  epsE: bigint;
  /** The bias is Q FR. */
  outProj: OracleLinear;
  /** False: the layer is unrotated, w = u. */
  rotates: boolean;
}

/** Rows of their own: [V][D] codes, and c · em · 2^ee. */
export interface EmbeddingTable {
  codes: number[][];
  em: number[];
  ee: number[];
}

/** Rows out of lm_head: inverseGamma [D] is Q fraction, int16; H of the residual's rotation. */
export interface TiedEmbedding {
  inverseGamma: number[];
  fraction: number;
  hadamard: OracleHadamard;
}

export interface OracleModel {
  shape: OracleShape;
  activationBits: ActivationBits;
  stateBits: StateBits;
  FR: number;
  /** 1: plain norm. More: the grouped one. */
  normGroups: number;
  /** Q24, at most 2^30. */
  dtLow: number;
  dtHigh: number;
  /** round(eps · D · 2^(2 (FR + F))). */
  epsD: bigint;
  rootD: Root;
  /** sqrt(E / normGroups). */
  rootE: Root;
  hadamard: OracleHadamard;
  embedding: EmbeddingTable | TiedEmbedding;
  layers: OracleLayer[];
  lmHead: OracleLinear;
}

export interface OracleLayerState {
  /** [H], Q24. */
  F: number[];
  /** [E + 2GN][W - 1], oldest first. */
  taps: number[][];
  /** [E][ceil(N / 16)]. */
  groups: StateGroup[][];
}

/** What t is counted modulo. */
export const TOKEN_PERIOD = 3 * 2 ** 30;

export interface OracleState {
  t: number;
  layers: OracleLayerState[];
}

/** Section 4: zeros, and exponents of -64. */
export function initialState(model: OracleModel): OracleState {
  const { H, P, N, G, W } = model.shape;
  const zeros = (n: number) => Array.from({ length: n }, () => 0);
  const layers = model.layers.map(() => ({
    F: zeros(H),
    taps: Array.from({ length: H * P + 2 * G * N }, () => zeros(W - 1)),
    groups: Array.from({ length: H * P }, () =>
      Array.from({ length: Math.ceil(N / 16) }, () => ({ h: zeros(16), eh: -64 })),
    ),
  }));
  return { t: 0, layers };
}

/** Residuals keep within ±(2^30 - 1). */
function saturateResidual(x: bigint): number {
  const limit = pow2(30) - 1n;
  return toNumber(clamp(x, -limit, limit));
}

/** Embedding: saturated like the residual. */
export function embed(model: OracleModel, token: number): number[] {
  if ("inverseGamma" in model.embedding) return embedTied(model, model.embedding, token);
  const { codes, em, ee } = model.embedding;
  const row = codes[token];
  if (row === undefined) throw new RangeError(`token ${token}`);
  return row.map((code) => saturateResidual(rsh(BigInt(code) * BigInt(em[token]!), -(ee[token]! + model.FR))));
}

/** Section 3, embedding out of the head. */
function embedTied(
  { shape, lmHead, FR }: OracleModel,
  { inverseGamma, fraction, hadamard }: TiedEmbedding,
  token: number,
): number[] {
  const [q, sw, rw] = [lmHead.q[token], lmHead.sw[token], lmHead.rw[token]];
  if (q === undefined || sw === undefined || rw === undefined) throw new RangeError(`token ${token}`);
  const h = q.map((code, i) => code * sw[Math.floor(i / lmHead.group)]!);
  if (h.length !== shape.D) throw new RangeError(`a row of ${h.length}`);
  const p = transform(h, transposed(hadamard)).map((t, i) => BigInt(t) * BigInt(inverseGamma[i]!));
  let most = 0n;
  for (const value of p) if (absolute(value) > most) most = absolute(value);
  let s = 0;
  while (rsh(most, s) > pow2(17) - 1n) s++;
  const w = transform(
    p.map((value) => toNumber(rsh(value, s))),
    hadamard,
  );
  return w.map((value) => saturateResidual(rsh(BigInt(value), -(rw + s - fraction + FR))));
}

/** norm(S + (epsD >> 2e), D). */
function normOfResidual(model: OracleModel, codes: Codes): NormFactor {
  return norm(codes.S + floorShift(model.epsD, 2 * codes.e), model.rootD);
}

export interface Segments {
  z: number[];
  x: number[];
  B: number[];
  C: number[];
  dt: number[];
}

/** in_proj: the five segments, 16 bits. */
export function inputProjection(model: OracleModel, layer: OracleLayer, residual: readonly number[]): Segments {
  const { H, P, N, G } = model.shape;
  const bits = model.activationBits;
  const codes = nqu(residual, bits);
  const { m, j, ne } = normOfResidual(model, codes);
  const acc = accumulate(layer.inProj, codes);
  let row = 0;
  const segment = (length: number, fraction: number): number[] => {
    const values: number[] = [];
    for (const end = row + length; row < end; row++) {
      const s = 7 + j + ne - scaleBits(bits) - codeFraction(bits) - layer.inProj.rw[row]! - fraction;
      const bias = BigInt(layer.inProj.bias?.[row] ?? 0);
      values.push(satN(rowOut(acc[row]!, m, s) + bias, 16));
    }
    return values;
  };
  const z = segment(H * P, layer.fz);
  const x = segment(H * P, layer.fx);
  const B = segment(G * N, layer.fB);
  const C = segment(G * N, layer.fC);
  const dt = segment(H, layer.fdt);
  if (row !== acc.length) throw new RangeError(`in_proj has ${acc.length} rows, not ${row}`);
  return { z, x, B, C, dt };
}

/** The convolution of all channels: x, B and C after silu. */
export function convolve(
  layer: OracleLayer,
  state: OracleLayerState,
  segments: Segments,
): { x: number[]; B: number[]; C: number[] } {
  let channel = 0;
  const part = (inputs: readonly number[], fraction: number, fo: number): number[] =>
    inputs.map((input) => {
      const weight = layer.convWeight[channel]!;
      const bias = layer.convBias[channel]!;
      return conv(state.taps[channel++]!, input, { weight, bias, fw: layer.fw, fraction, fo });
    });
  const x = part(segments.x, layer.fx, layer.fxs);
  const B = part(segments.B, layer.fB, layer.fBs);
  const C = part(segments.C, layer.fC, layer.fCs);
  return { x, B, C };
}

/** B or C of every group, each padded with zeros to a multiple of 16. */
function quantizeGroups(values: readonly number[], groups: number, fraction: number): Exponented[] {
  const N = values.length / groups;
  const result: Exponented[] = [];
  for (let g = 0; g < groups; g++) {
    const quantized = quantizeBC(values.slice(g * N, (g + 1) * N), fraction);
    while (quantized.codes.length % 16 !== 0) quantized.codes.push(0);
    result.push(quantized);
  }
  return result;
}

/** A head: its state moves on, its y comes back. */
function head(
  model: OracleModel,
  layer: OracleLayer,
  state: OracleLayerState,
  input: { head: number; t: number; rawDt: number; x: readonly number[]; B: Exponented; C: Exponented },
): number[] {
  const { head: h, t, rawDt, x, B, C } = input;
  const dt = timeStep(rawDt, layer.fdt, layer.dtBias[h]!, model.dtLow, model.dtHigh);
  const { F, k, c, ci } = decay(state.F[h]!, dt, layer.am[h]!, layer.ae[h]!);
  state.F[h] = F;
  const { codes: q, exponent: ex } = dtTimesX(dt, ci, x, layer.fxs);
  return x.map((value, p) => {
    const ch = h * model.shape.P + p;
    const groups = state.groups[ch]!.map((group, index) => {
      const Bq = B.codes.slice(index * 16, index * 16 + 16);
      const update = { k, q: q[p]!, ex, Bq, eB: B.exponent, t, n0: index * 16, ch };
      return updateGroup(group, update, model.stateBits);
    });
    state.groups[ch] = groups;
    const Y = readout(groups, C.codes, C.exponent);
    return output(Y, c, { Dq: layer.Dq[h]!, x: value, fD: layer.fD, fxs: layer.fxs });
  });
}

/** SSMU: g of all channels. */
export function mix(
  model: OracleModel,
  layer: OracleLayer,
  state: OracleLayerState,
  segments: Segments,
  t: number,
): number[] {
  const { H, P, G } = model.shape;
  const { x, B, C } = convolve(layer, state, segments);
  const Bs = quantizeGroups(B, G, layer.fBs);
  const Cs = quantizeGroups(C, G, layer.fCs);
  const g: number[] = [];
  for (let h = 0; h < H; h++) {
    // H / G consecutive heads read a group.
    const group = Math.floor(h / (H / G));
    const own = { head: h, t, rawDt: segments.dt[h]!, x: x.slice(h * P, h * P + P), B: Bs[group]!, C: Cs[group]! };
    const y = head(model, layer, state, own);
    for (let p = 0; p < P; p++) g.push(gated(y[p]!, segments.z[h * P + p]!, layer));
  }
  return g;
}

/** Gated norm, Hadamard, NQU and out_proj: what is added to the residual. */
export function outputProjection(model: OracleModel, layer: OracleLayer, g: readonly number[]): bigint[] {
  const bits = model.activationBits;
  const grouped = model.normGroups > 1;
  const u = grouped
    ? gammaGrouped(g, layer.gamma2, { groups: model.normGroups, eps: layer.epsE, root: model.rootE }, layer)
    : gammaPlain(g, layer.gamma2, layer);
  const codes = nqu(layer.rotates ? transform(u, model.hadamard) : u, bits);
  let m = 2 ** 15;
  let shift = 15 - scaleBits(bits) - codes.e + layer.fu - model.FR;
  if (!grouped) {
    const factor = norm(sumOfSquares(g) + layer.epsE, model.rootE);
    m = factor.m;
    shift = 7 + factor.j + factor.ne - scaleBits(bits) - codes.e - layer.fg + layer.fu - model.FR;
  }
  return accumulate(layer.outProj, codes).map(
    (acc, row) => rowOut(acc, m, shift - layer.outProj.rw[row]!) + BigInt(layer.outProj.bias?.[row] ?? 0),
  );
}

/** lm_head: logits Q16, 32 bits. */
export function logitsOf(model: OracleModel, residual: readonly number[]): number[] {
  const bits = model.activationBits;
  const codes = nqu(residual, bits);
  const { m, j, ne } = normOfResidual(model, codes);
  return accumulate(model.lmHead, codes).map((acc, row) => {
    const s = 7 + j + ne - scaleBits(bits) - codeFraction(bits) - model.lmHead.rw[row]! - 16;
    return satN(rowOut(acc, m, s), 32);
  });
}

export interface StepResult {
  logits: number[];
  /** After the embedding and after each layer. */
  residuals: number[][];
  /** The segments and g of each layer, for finding where a difference begins. */
  layers: { segments: Segments; g: number[] }[];
}

/** One token. The state moves on. */
export function step(model: OracleModel, state: OracleState, token: number): StepResult {
  let residual = embed(model, token);
  const result: StepResult = { logits: [], residuals: [residual], layers: [] };
  model.layers.forEach((layer, index) => {
    const segments = inputProjection(model, layer, residual);
    // t counts the tokens before this one.
    const g = mix(model, layer, state.layers[index]!, segments, state.t);
    const added = outputProjection(model, layer, g);
    residual = residual.map((value, i) => saturateResidual(BigInt(value) + added[i]!));
    result.residuals.push(residual);
    result.layers.push({ segments, g });
  });
  state.t = (state.t + 1) % TOKEN_PERIOD;
  result.logits = logitsOf(model, residual);
  return result;
}
