/**
 * Rounding a weight matrix to 4-bit codes with two-level scales: w = q · sw · 2^rw, q in -8..7, sw u8 per (row, group of
 * 32 inputs), rw per row (docs/numerics.md section 3.2).
 */
import { WEIGHT_GROUP } from "../../assembly/contract.ts";
import { paddedInputs, type QuantizedMatrix, ROW_EXPONENT_RANGE } from "../model/frames.ts";

/** Scales tried per group: from the one that clips nothing down to CLIP of it. */
const CLIP = 0.72;
const LARGEST_SCALE = 255;
/** Rounds w [R, K] to nearest, each group with the scale of least squared error. */
export function roundToNearest(w: Float32Array, rows: number, inputs: number): QuantizedMatrix {
  const padded = paddedInputs(inputs);
  const groups = padded / WEIGHT_GROUP;
  const out: QuantizedMatrix = {
    rows,
    inputs,
    codes: new Int8Array(rows * padded),
    scales: new Uint8Array(rows * groups),
    rowExponents: new Int8Array(rows),
  };
  for (let r = 0; r < rows; r++) {
    const row = w.subarray(r * inputs, (r + 1) * inputs);
    const exponent = rowExponent(row);
    const unit = 2 ** exponent;
    out.rowExponents[r] = exponent;
    for (let g = 0; g < groups; g++) {
      const values = row.subarray(g * WEIGHT_GROUP, Math.min((g + 1) * WEIGHT_GROUP, inputs));
      const scale = bestScale(values, unit);
      out.scales[r * groups + g] = scale;
      const codes = out.codes.subarray(r * padded + g * WEIGHT_GROUP);
      for (let i = 0; i < values.length; i++) codes[i] = code(values[i]! / (scale * unit));
    }
  }
  return out;
}

function code(x: number): number {
  return Math.min(7, Math.max(-8, Math.floor(x + 0.5)));
}

/** Smallest exponent with which the widest group's scale fits 8 bits. */
function rowExponent(row: Float32Array): number {
  let largest = 0;
  for (const value of row) largest = Math.max(largest, Math.abs(value));
  const [low, high] = ROW_EXPONENT_RANGE;
  if (largest === 0) return low;
  return Math.max(low, Math.min(high, Math.ceil(Math.log2(largest / 7 / LARGEST_SCALE))));
}

function bestScale(values: Float32Array, unit: number): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  const top = Math.min(LARGEST_SCALE, Math.max(1, Math.ceil(largest / 7 / unit)));
  const step = Math.max(1, Math.floor(top / 64));
  let best = top;
  let least = squaredError(values, top * unit, Number.POSITIVE_INFINITY);
  for (let scale = top - step; scale >= Math.max(1, top * CLIP); scale -= step) {
    const error = squaredError(values, scale * unit, least);
    if (error >= least) continue;
    least = error;
    best = scale;
  }
  return best;
}

/** Σ (w - q·s)², given up once above `limit`. */
function squaredError(values: Float32Array, s: number, limit: number): number {
  let sum = 0;
  for (let i = 0; i < values.length && sum < limit; i++) {
    const error = values[i]! - code(values[i]! / s) * s;
    sum += error * error;
  }
  return sum;
}

/** The weights the codes stand for, f32 [R, K]. */
export function dequantize(m: QuantizedMatrix): Float32Array {
  const padded = paddedInputs(m.inputs);
  const groups = padded / WEIGHT_GROUP;
  const w = new Float32Array(m.rows * m.inputs);
  for (let r = 0; r < m.rows; r++) {
    const unit = 2 ** m.rowExponents[r]!;
    for (let k = 0; k < m.inputs; k++) {
      const scale = m.scales[r * groups + Math.floor(k / WEIGHT_GROUP)]! * unit;
      w[r * m.inputs + k] = m.codes[r * padded + k]! * scale;
    }
  }
  return w;
}

/** Signal-to-noise ratio of the rounding in dB. */
export function signalToNoise(w: Float32Array, rounded: Float32Array): number {
  let signal = 0;
  let noise = 0;
  for (let i = 0; i < w.length; i++) {
    signal += w[i]! ** 2;
    noise += (w[i]! - rounded[i]!) ** 2;
  }
  return noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise);
}
