/** Embedding rows as int8 codes with one scale a row: docs/numerics.md section 3. */
import { mantissa } from "./fractions.ts";

export interface QuantizedEmbedding {
  codes: Int8Array; //     [V, D]
  scale: Uint16Array; //   [V], mantissa
  exponent: Int8Array; //  [V]
}

/** Exponents the loader accepts. */
export const EMBEDDING_EXPONENT_RANGE: [low: number, high: number] = [-100, 14];

export function quantizeEmbedding(embedding: Float32Array, rows: number, dModel: number): QuantizedEmbedding {
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
