/** Embedding rows, as int8 codes with one scale a row or out of an 8-bit lm_head: docs/numerics.md section 3. */
import { EMBEDDING_FRACTION_RANGE, type Rotation } from "../model/description.ts";
import { concat } from "./concat.ts";
import { mantissa } from "./fractions.ts";
import { ResidualRotation } from "./rotate.ts";

export interface QuantizedEmbedding {
  codes: Int8Array; //     [V, D]
  scale: Uint16Array; //   [V], mantissa
  exponent: Int8Array; //  [V]
}

/** Exponents the loader accepts. */
export const EMBEDDING_EXPONENT_RANGE: [low: number, high: number] = [-100, 14];

export function quantizeEmbedding(embedding: Float32Array, dModel: number): QuantizedEmbedding {
  const rows = embedding.length / dModel;
  const out: QuantizedEmbedding = {
    codes: new Int8Array(rows * dModel),
    scale: new Uint16Array(rows),
    exponent: new Int8Array(rows),
  };
  for (let r = 0; r < rows; r++) {
    const row = embedding.subarray(r * dModel, (r + 1) * dModel);
    let largest = 0;
    for (const value of row) largest = Math.max(largest, Math.abs(value));
    if (largest < 2 ** (EMBEDDING_EXPONENT_RANGE[0] + 24)) continue;
    const { mantissa: m, shift } = mantissa(largest / 127);
    out.scale[r] = m;
    out.exponent[r] = -shift;
    for (let i = 0; i < dModel; i++) {
      out.codes[r * dModel + i] = Math.max(-127, Math.min(127, Math.round((row[i]! / m) * 2 ** shift)));
    }
  }
  return out;
}

/** Rows that are rotated at a time. */
const PIECE_ROWS = 4096;

/** quantizeEmbedding of rows [start, end) of the table in the rotated basis. */
export function quantizeRotated(
  table: Float32Array,
  [start, end]: [start: number, end: number],
  rotation: Rotation,
  dModel: number,
): QuantizedEmbedding {
  const residual = new ResidualRotation(rotation, dModel);
  const parts: QuantizedEmbedding[] = [];
  for (let row = start; row < end; row += PIECE_ROWS) {
    const piece = Float32Array.from(table.subarray(row * dModel, Math.min(row + PIECE_ROWS, end) * dModel));
    residual.rows(piece);
    parts.push(quantizeEmbedding(piece, dModel));
  }
  return joinEmbedding(parts);
}

export function joinEmbedding(parts: QuantizedEmbedding[]): QuantizedEmbedding {
  return {
    codes: concat(
      parts.map(({ codes }) => codes),
      Int8Array,
    ),
    scale: concat(
      parts.map(({ scale }) => scale),
      Uint16Array,
    ),
    exponent: concat(
      parts.map(({ exponent }) => exponent),
      Int8Array,
    ),
  };
}

/** unit² / γ of the final norm as int16: what turns a row of lm_head back into one of the embedding. */
export interface InverseGamma {
  values: Int16Array;
  fraction: number;
}

/** Channels whose γ is this much smaller than the largest would lose too much. */
const SMALLEST_GAMMA = 1 / 64;

/** Undefined where a γ is too small: the embedding then needs a table of its own. */
export function inverseGamma(gamma: Float32Array, unit: number): InverseGamma | undefined {
  const magnitudes = gamma.map(Math.abs);
  const [least, most] = [Math.min(...magnitudes), Math.max(...magnitudes)];
  if (!(least > most * SMALLEST_GAMMA)) return undefined;
  const largest = unit ** 2 / least;
  const [low, high] = EMBEDDING_FRACTION_RANGE;
  const fraction = Math.min(high, Math.floor(Math.log2(32767 / largest)));
  if (fraction < low) return undefined;
  return { fraction, values: Int16Array.from(gamma, (value) => Math.round((unit ** 2 / value) * 2 ** fraction)) };
}
