/**
 * What an OracleModel means, in real numbers: a textbook Mamba-2 step on its weights with no activation or state
 * rounded. It checks the exponents of every formula of the page, which a second integer version would repeat.
 */
import { type OracleHadamard, sylvester, transposed } from "./hadamard.ts";
import type { OracleLinear } from "./mmu.ts";
import type { OracleLayer, OracleModel } from "./model.ts";

interface RealLayerState {
  taps: number[][];
  /** [E][N]. */
  h: number[][];
}

export interface RealState {
  layers: RealLayerState[];
}

export function realState(model: OracleModel): RealState {
  const { H, P, N, G, W } = model.shape;
  const zeros = (n: number) => Array.from({ length: n }, () => 0);
  return {
    layers: model.layers.map(() => ({
      taps: Array.from({ length: H * P + 2 * G * N }, () => zeros(W - 1)),
      h: Array.from({ length: H * P }, () => zeros(N)),
    })),
  };
}

const siluReal = (x: number): number => x / (1 + Math.exp(-x));
const softplusReal = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

function product(linear: OracleLinear, x: readonly number[], biasFraction: (row: number) => number): number[] {
  return linear.q.map((q, row) => {
    let sum = 0;
    q.forEach((code, i) => {
      sum += code * linear.sw[row]![Math.floor(i / linear.group)]! * x[i]!;
    });
    return sum * 2 ** linear.rw[row]! + (linear.bias?.[row] ?? 0) / 2 ** biasFraction(row);
  });
}

function rmsNormalized(x: readonly number[], eps: number): number[] {
  const mean = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value) => value / Math.sqrt(mean + eps));
}

function rotated({ blocks, m, k, signs }: OracleHadamard, u: readonly number[]): number[] {
  const [width, size] = [2 ** k, m * 2 ** k];
  return Array.from({ length: blocks * size }, (_, index) => {
    const [block, row] = [Math.floor(index / size), index % size];
    let sum = 0;
    for (let c = 0; c < size; c++) {
      const sign = signs[Math.floor(row / width)]![Math.floor(c / width)]! * sylvester(row % width, c % width);
      sum += sign * u[block * size + c]!;
    }
    return sum;
  });
}

/** x, B, C of all channels after the convolution and silu. */
function convolved(layer: OracleLayer, E: number, state: RealLayerState, inputs: readonly number[]): number[] {
  return inputs.map((input, channel) => {
    const GN = (inputs.length - E) / 2;
    const fraction = channel < E ? layer.fx : channel < E + GN ? layer.fB : layer.fC;
    const taps = state.taps[channel]!;
    taps.push(input);
    let sum = layer.convBias[channel]! / 2 ** (fraction + layer.fw);
    layer.convWeight[channel]!.forEach((weight, i) => {
      sum += (weight / 2 ** layer.fw) * taps[i]!;
    });
    taps.shift();
    return siluReal(sum);
  });
}

/** y of all channels. */
function recurrence(
  model: OracleModel,
  layer: OracleLayer,
  state: RealLayerState,
  xBC: readonly number[],
  rawDt: readonly number[],
): number[] {
  const { H, P, N, G } = model.shape;
  const E = H * P;
  const y: number[] = [];
  for (let ch = 0; ch < E; ch++) {
    const head = Math.floor(ch / P);
    const group = Math.floor((head * G) / H);
    const wanted = softplusReal(rawDt[head]! + layer.dtBias[head]! / 65536);
    const dt = Math.min(Math.max(wanted, model.dtLow / 2 ** 24), model.dtHigh / 2 ** 24);
    const decay = 2 ** (-dt * layer.am[head]! * 2 ** -layer.ae[head]!);
    let sum = (layer.Dq[head]! / 2 ** layer.fD) * xBC[ch]!;
    const h = state.h[ch]!;
    for (let n = 0; n < N; n++) {
      h[n] = h[n]! * decay + dt * xBC[ch]! * xBC[E + group * N + n]!;
      sum += h[n]! * xBC[E + (G + group) * N + n]!;
    }
    y.push(sum);
  }
  return y;
}

function realLayer(
  model: OracleModel,
  layer: OracleLayer,
  state: RealLayerState,
  r: readonly number[],
  eps: number,
): number[] {
  const { H, P, N, G } = model.shape;
  const [E, GN] = [H * P, G * N];
  const fractionOf = (row: number): number => {
    if (row < E) return layer.fz;
    if (row < 2 * E) return layer.fx;
    if (row < 2 * E + GN) return layer.fB;
    return row < 2 * E + 2 * GN ? layer.fC : layer.fdt;
  };
  const projected = product(layer.inProj, rmsNormalized(r, eps), fractionOf);
  const xBC = convolved(layer, E, state, projected.slice(E, 2 * E + 2 * GN));
  const y = recurrence(model, layer, state, xBC, projected.slice(2 * E + 2 * GN));
  const g = y.map((value, ch) => value * siluReal(projected[ch]!));
  const size = E / model.normGroups;
  const u: number[] = [];
  for (let start = 0; start < E; start += size) u.push(...rmsNormalized(g.slice(start, start + size), eps));
  const scaled = u.map((value, ch) => (value * layer.gamma2[ch]!) / 2 ** layer.fGamma);
  const added = product(layer.outProj, layer.rotates ? rotated(model.hadamard, scaled) : scaled, () => model.FR);
  return r.map((value, i) => value + added[i]!);
}

function embedded({ embedding, lmHead }: OracleModel, token: number): number[] {
  if ("codes" in embedding) {
    return embedding.codes[token]!.map((code) => code * embedding.em[token]! * 2 ** embedding.ee[token]!);
  }
  const { inverseGamma, fraction, hadamard } = embedding;
  const unit = 2 ** lmHead.rw[token]!;
  const row = lmHead.q[token]!.map((q, i) => q * lmHead.sw[token]![Math.floor(i / lmHead.group)]! * unit);
  const turned = rotated(transposed(hadamard), row).map((value, i) => (value * inverseGamma[i]!) / 2 ** fraction);
  return rotated(hadamard, turned);
}

/** One token in real numbers. */
export function realStep(
  model: OracleModel,
  state: RealState,
  token: number,
  eps = 1e-5,
): { logits: number[]; residuals: number[][] } {
  let r = embedded(model, token);
  const residuals = [r];
  model.layers.forEach((layer, index) => {
    r = realLayer(model, layer, state.layers[index]!, r, eps);
    residuals.push(r);
  });
  return { logits: product(model.lmHead, rmsNormalized(r, eps), () => 0), residuals };
}
