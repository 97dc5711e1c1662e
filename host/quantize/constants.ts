/** The integer constants of a layer beside its two matrices: docs/numerics.md sections 3.2 and 3.3. */
import type { Mamba2Config } from "../checkpoint/types.ts";
import { LightMambaError } from "../errors.ts";
import type { Fractions } from "../model/description.ts";
import type { RowOrder } from "../model/frames.ts";
import type { ReferenceLayer } from "../reference/index.ts";
import { convChannels, mantissa, segmentOf } from "./fractions.ts";

export interface LayerConstants {
  convWeight: Int16Array; // [W, C]
  convBias: Int32Array; //   [C]
  decay: Uint16Array; //     [H]
  decayShift: Uint8Array; // [H]
  dtBias: Int32Array; //     [H], Q16
  skip: Int16Array; //       [H]
  gateNorm: Int16Array; //   [E]
  inProjBias: Int32Array | undefined; //  [stored rows]
  outProjBias: Int32Array | undefined; // [stored rows]
}

/** Largest shift of a decay: a head that decays less than 2^-32 a token does not decay. */
export const MAX_DECAY_SHIFT = 47;
/** softplus clamps its input to ±64. */
const DT_BIAS_LIMIT = 64;

export function layerConstants(
  config: Mamba2Config,
  layer: ReferenceLayer,
  fractions: Fractions,
  orders: { inProj: RowOrder; outProj: RowOrder },
  residualFraction: number,
): LayerConstants {
  const { inProjBias, outProjBias } = layer;
  const segment = (row: number) => fractions[inProjSegment(config, row)];
  return {
    ...conv(config, layer, fractions),
    ...decays(layer.A),
    dtBias: Int32Array.from(layer.dtBias, (value) => fixed(limited(value, "dt_bias", DT_BIAS_LIMIT), 16)),
    skip: Int16Array.from(layer.D, (value) => fixed(value, fractions.skip)),
    gateNorm: Int16Array.from(layer.gateNorm, (value) => fixed(value, fractions.gamma)),
    inProjBias: inProjBias && biasInOrder(inProjBias, orders.inProj, segment),
    outProjBias: outProjBias && biasInOrder(outProjBias, orders.outProj, () => residualFraction),
  };
}

/** Nearest integer to value · 2^f, ties up. */
export function fixed(value: number, f: number): number {
  return Math.floor(value * 2 ** f + 0.5);
}

function limited(value: number, field: string, limit: number): number {
  if (Math.abs(value) < limit) return value;
  throw new LightMambaError("unsupported", "the value does not fit the fixed-point contract", {
    field,
    expected: `magnitudes below ${limit}`,
    found: value,
  });
}

function conv(config: Mamba2Config, layer: ReferenceLayer, fractions: Fractions) {
  const channels = convChannels(config);
  const { convWidth } = config;
  const convWeight = new Int16Array(convWidth * channels);
  const convBias = new Int32Array(channels);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < convWidth; i++) {
      convWeight[i * channels + c] = fixed(layer.conv[c * convWidth + i]!, fractions.conv);
    }
    const f = fractions[segmentOf(config, c)] + fractions.conv;
    convBias[c] = fixed(layer.convBias?.[c] ?? 0, f);
  }
  return { convWeight, convBias };
}

/** |A| · log2 e = decay · 2^-shift. */
function decays(A: Float32Array) {
  const decay = new Uint16Array(A.length);
  const decayShift = new Uint8Array(A.length);
  A.forEach((value, h) => {
    const { mantissa: m, shift } = mantissa(limited(-value * Math.LOG2E, "A", 2 ** 15));
    if (shift > MAX_DECAY_SHIFT) return;
    decay[h] = m;
    decayShift[h] = shift;
  });
  return { decay, decayShift };
}

function inProjSegment(
  { dInner: E, nGroups, dState, nHeads }: Mamba2Config,
  row: number,
): "z" | "x" | "B" | "C" | "dt" {
  const n = nGroups * dState;
  const ends: [end: number, name: "z" | "x" | "B" | "C" | "dt"][] = [
    [E, "z"],
    [2 * E, "x"],
    [2 * E + n, "B"],
    [2 * E + 2 * n, "C"],
    [2 * E + 2 * n + nHeads, "dt"],
  ];
  return ends.find(([end]) => row < end)![1];
}

function biasInOrder(bias: Float32Array, order: RowOrder, fraction: (row: number) => number): Int32Array {
  return Int32Array.from(order, (row) => (row < 0 ? 0 : fixed(limited(bias[row]!, "bias", 2 ** 14), fraction(row))));
}
