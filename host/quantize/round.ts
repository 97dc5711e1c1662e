/**
 * Rounding a weight matrix to codes with two-level scales: w = q · sw · 2^rw, sw u8 per (row, group of inputs), rw per
 * row (docs/numerics.md section 3.2). The kernel is assembly/offline/round.ts.
 */
import type { WeightRecipe } from "../model/description.ts";
import { paddedInputs, type QuantizedMatrix, ROW_EXPONENT_RANGE, scaleInputs } from "../model/frames.ts";
import { Arena, Offline } from "../reference/offline.ts";
import type { Feedback } from "./feedback.ts";

export interface RoundRules {
  /** 4, or 8 as two 4-bit planes. */
  bits: 4 | 8;
  /** Inputs that share a scale. */
  group: WeightRecipe["group"];
  /** Scales 1, 2, 4, … only. */
  powerOfTwo: boolean;
}

export const NEAREST: RoundRules = { bits: 4, group: 32, powerOfTwo: false };

/** Range of a code: 8 bits are 16 · hi + lo with both in -8..7. */
const CODE_RANGE: Record<RoundRules["bits"], [low: number, high: number]> = { 4: [-8, 7], 8: [-128, 119] };
const LARGEST_SCALE = 255;
/** Rows in the WebAssembly memory at a time. */
const PIECE_BYTES = 2 ** 26;

export interface Rounded {
  matrix: QuantizedMatrix;
  /** The weights the codes stand for, [rows, K]. */
  values: Float32Array;
}

/**
 * Rounds w [rows, K], to nearest or with error feedback. Each row on its own: any split of the rows gives the same codes.
 * `values` is where the rounded weights go.
 */
export function roundMatrix(
  w: Float32Array,
  inputs: number,
  rules: RoundRules = NEAREST,
  feedback?: Feedback,
  values: Float32Array = new Float32Array(w.length),
): Rounded {
  const rows = w.length / inputs;
  const padded = paddedInputs(inputs);
  const slots = padded / scaleInputs(rules.group);
  const matrix: QuantizedMatrix = {
    rows,
    inputs,
    bits: rules.bits,
    group: rules.group,
    codes: new Int8Array(rows * padded),
    scales: new Uint8Array(rows * slots),
    rowExponents: new Int8Array(rows),
  };
  const rounder = new Rounder(inputs, rules, feedback, rows);
  for (let start = 0; start < rows; start += rounder.rows) {
    const end = Math.min(start + rounder.rows, rows);
    rounder.round(w.subarray(start * inputs, end * inputs), {
      codes: matrix.codes.subarray(start * padded, end * padded),
      scales: matrix.scales.subarray(start * slots, end * slots),
      exponents: matrix.rowExponents.subarray(start, end),
      values: values.subarray(start * inputs, end * inputs),
    });
  }
  return { matrix, values };
}

interface RowViews {
  codes: Int8Array;
  scales: Uint8Array;
  exponents: Int8Array;
  values: Float32Array;
}

/** The kernel with its factors in place, and room for some rows. */
class Rounder {
  readonly rows: number;
  readonly #inputs: number;
  readonly #rules: RoundRules;
  readonly #offline = new Offline();
  readonly #at: Record<"w" | "codes" | "scales" | "exponents" | "u" | "p" | "importance", number>;

  constructor(inputs: number, rules: RoundRules, feedback: Feedback | undefined, rows: number) {
    this.#inputs = inputs;
    this.#rules = rules;
    this.rows = Math.max(8, Math.min(rows, Math.floor(PIECE_BYTES / (4 * inputs)) & ~7));
    const arena = new Arena(this.#offline.start);
    const padded = paddedInputs(inputs);
    const square = feedback ? inputs * inputs : 0;
    this.#at = {
      w: arena.floats(this.rows * inputs),
      codes: arena.take(this.rows * padded),
      scales: arena.take((this.rows * padded) / scaleInputs(rules.group)),
      exponents: arena.take(this.rows),
      u: feedback ? arena.floats(square) : 0,
      p: feedback ? arena.floats(square) : 0,
      importance: feedback ? arena.floats(inputs) : 0,
    };
    this.#offline.reserve(arena.end);
    if (!feedback) return;
    this.#offline.floats(this.#at.u, square).set(feedback.u);
    this.#offline.floats(this.#at.p, square).set(feedback.p);
    // An error of column c adds error² / u[c][c]² to the layer's loss when the later columns make up for it.
    const importance = this.#offline.floats(this.#at.importance, inputs);
    for (let c = 0; c < inputs; c++) importance[c] = feedback.u[c * inputs + c]! ** -2;
  }

  round(w: Float32Array, out: RowViews): void {
    const { codes, scales, exponents, values } = out;
    const { low, high } = { low: CODE_RANGE[this.#rules.bits][0], high: CODE_RANGE[this.#rules.bits][1] };
    const at = this.#at;
    const rows = exponents.length;
    for (let r = 0; r < rows; r++) {
      exponents[r] = rowExponent(w.subarray(r * this.#inputs, (r + 1) * this.#inputs), high);
    }
    this.#offline.floats(at.w, w.length).set(w);
    this.#offline.bytes(at.exponents, rows).set(exponents);
    this.#offline.bytes(at.codes, codes.length).fill(0);
    this.#offline.bytes(at.scales, scales.length).fill(1);
    this.#offline.kernels.roundRows(
      at.w,
      at.codes,
      at.scales,
      at.exponents,
      at.u,
      at.p,
      at.importance,
      rows,
      this.#inputs,
      this.#rules.group,
      scaleInputs(this.#rules.group),
      low,
      high,
      Number(this.#rules.powerOfTwo),
    );
    codes.set(this.#offline.bytes(at.codes, codes.length));
    scales.set(this.#offline.bytes(at.scales, scales.length));
    values.set(this.#offline.floats(at.w, w.length));
  }
}

/** Smallest exponent with which the widest group's scale fits 8 bits. */
function rowExponent(row: Float32Array, high: number): number {
  let largest = 0;
  for (const value of row) largest = Math.max(largest, Math.abs(value));
  const [low, most] = ROW_EXPONENT_RANGE;
  if (largest === 0) return low;
  return Math.max(low, Math.min(most, Math.ceil(Math.log2(largest / high / LARGEST_SCALE))));
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
