/**
 * The static fixed-point formats of a model: fraction bits from the largest magnitudes seen on calibration text, and the
 * integer constants of a layer (docs/numerics.md section 3.3).
 */
import type { Mamba2Config } from "../checkpoint/types.ts";
import { LightMambaError } from "../errors.ts";
import { FRACTION_RANGES, type Fractions } from "../model/description.ts";
import type { Maxima, ReferenceLayer } from "../reference/index.ts";

/** Head room over the largest value of the calibration text. */
const MARGIN = 1.5;
/** Products have heavier tails: on new text 1.5 was exceeded once in five million values. */
const PRODUCT_MARGIN = 2;
/** A readout term saturates at 2^26 in Q12, before the factor 2^-F in (1/2, 1]. */
const Y_LIMIT = 2 ** 13;
/** The residual stays below 2^30, with two bits for text unlike the calibration's. */
const RESIDUAL_BITS = 28;
const MAX_RESIDUAL_FRACTION = 16;

/** Largest fraction bits with which ±magnitude fits `bits` signed bits. */
function fit(name: keyof Fractions, magnitude: number, bits: number, layer: number): number {
  const [low, high] = FRACTION_RANGES[name];
  const f = magnitude > 0 ? Math.floor(Math.log2((2 ** (bits - 1) - 1) / magnitude)) : high;
  if (f < low) {
    throw new LightMambaError("unsupported", "values are too large for the fixed-point contract", {
      field: `layer ${layer}, ${name}`,
      expected: `magnitudes below ${2 ** (bits - 1 - low)}`,
      found: magnitude,
    });
  }
  return Math.min(f, high);
}

export function chooseFractions(
  config: Mamba2Config,
  layer: ReferenceLayer,
  maxima: Maxima[number],
  index: number,
): Fractions {
  const seen = (name: keyof typeof maxima) => (maxima[name] ?? 0) * MARGIN;
  const product = (name: keyof typeof maxima) => (maxima[name] ?? 0) * PRODUCT_MARGIN;
  const raw = (name: "z" | "x" | "B" | "C" | "dt") => fit(name, seen(name), 16, index);
  if (seen("y") >= Y_LIMIT) {
    throw new LightMambaError("unsupported", "the scan's output is too large for the fixed-point contract", {
      field: `layer ${index}, y`,
      expected: `below ${Y_LIMIT}`,
      found: seen("y"),
    });
  }
  const fractions = {
    z: raw("z"),
    x: raw("x"),
    B: raw("B"),
    C: raw("C"),
    dt: raw("dt"),
    xs: fit("xs", seen("xs"), 16, index),
    Bs: fit("Bs", seen("Bs"), 16, index),
    Cs: fit("Cs", seen("Cs"), 16, index),
    skip: fit("skip", largest(layer.D), 16, index),
    zs: fit("zs", seen("zs"), 16, index),
    g: fit("g", product("g"), 24, index),
    gamma: fit("gamma", largest(layer.gateNorm), 16, index),
    // A grouped norm is applied before γ2, a plain one after out_proj.
    u: fit("u", product(config.nGroups > 1 ? "u1" : "u0"), 18, index),
  };
  return { ...fractions, conv: convFraction(config, layer, fractions, index) };
}

/** 2^15 · Σ|weight| + |bias| must stay below 2^31 for every channel, so that the int32 sum cannot overflow. */
function convFraction(
  config: Mamba2Config,
  layer: ReferenceLayer,
  segments: Pick<Fractions, "x" | "B" | "C">,
  index: number,
): number {
  const { convWidth } = config;
  let f = fit("conv", largest(layer.conv), 16, index);
  for (let c = 0; c < convChannels(config); c++) {
    const segment = segments[segmentOf(config, c)];
    const bias = Math.abs(layer.convBias?.[c] ?? 0) * 2 ** segment;
    let sum = 0;
    // Half a step of rounding for each weight, and one for the bias.
    for (let i = 0; i < convWidth; i++) sum += Math.abs(layer.conv[c * convWidth + i]!);
    while (2 ** 15 * (sum * 2 ** f + convWidth / 2) + bias * 2 ** f + 1 >= 2 ** 31) f--;
  }
  if (f < FRACTION_RANGES.conv[0]) throw new LightMambaError("unsupported", `conv weights of layer ${index} too large`);
  return f;
}

export function convChannels({ dInner, nGroups, dState }: Mamba2Config): number {
  return dInner + 2 * nGroups * dState;
}

export function segmentOf({ dInner, nGroups, dState }: Mamba2Config, channel: number): "x" | "B" | "C" {
  if (channel < dInner) return "x";
  return channel < dInner + nGroups * dState ? "B" : "C";
}

export function largest(values: Float32Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

/** Fraction bits of the residual stream for the largest value seen in it. */
export function residualFraction(maxima: Maxima): number {
  const most = Math.max(...maxima.map((entry) => entry.r ?? 0)) * MARGIN;
  return Math.min(MAX_RESIDUAL_FRACTION, RESIDUAL_BITS - Math.ceil(Math.log2(Math.max(most, 1))));
}

/** A positive number as mantissa · 2^-shift with a 16-bit mantissa in [2^15, 2^16). */
export function mantissa(value: number): { mantissa: number; shift: number } {
  let shift = 15 - Math.floor(Math.log2(value));
  let m = Math.round(value * 2 ** shift);
  if (m >= 2 ** 16) {
    shift--;
    m = Math.round(value * 2 ** shift);
  }
  return { mantissa: m, shift };
}
