/** Statistics of a matrix's inputs, summed over chunks and over lanes. */
import type { SharedBuffers } from "../reference/shared.ts";

/**
 * Sums over rows of X̂ᵀX̂ and X̃ᵀX̂, [K, K] in FP64: X̂ what the quantized model's layer sees, X̃ the FP32 model's. Every
 * chunk's part is rounded to one grid, on which FP64 adds without error: the sums do not depend on the lanes' number.
 */
export interface GramSums {
  own: Float64Array;
  cross: Float64Array;
}

export function newSums(shared: SharedBuffers, k: number): GramSums {
  return { own: shared.doubles("own", k * k).fill(0), cross: shared.doubles("cross", k * k).fill(0) };
}

/** Steps per unit of a mean square of 1. Sums stay exact up to 2^33 such units, far more than any text has. */
const GRAM_STEPS = 2 ** 20;

/** The grid for inputs that a norm with these γ has made. */
export function gridSteps(gamma: Float32Array): number {
  return GRAM_STEPS / powerOfTwoNear(meanSquare(gamma));
}

function meanSquare(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0) / values.length;
}

function powerOfTwoNear(value: number): number {
  return value > 0 ? 2 ** Math.round(Math.log2(value)) : 1;
}

/** A block [height, width] of a chunk's product, onto the sum [K, K] from `row` and `column` on. */
export function addOnGrid(
  sum: Float64Array,
  k: number,
  part: { block: Float32Array; row: number; column: number; width: number },
  steps: number,
): void {
  const { block, row, column, width } = part;
  // A power of two: the product is the quotient.
  const step = 1 / steps;
  for (let from = 0, at = row * k + column; from < block.length; from += width, at += k) {
    for (let j = 0; j < width; j++) sum[at + j]! += Math.round(block[from + j]! * steps) * step;
  }
}

/** Above the diagonal what is below it. */
export function mirror(sum: Float64Array, k: number): void {
  const tile = 32;
  for (let top = 0; top < k; top += tile) {
    for (let left = 0; left <= top; left += tile) {
      for (let i = top; i < Math.min(top + tile, k); i++) {
        for (let j = left; j < Math.min(left + tile, i); j++) sum[j * k + i] = sum[i * k + j]!;
      }
    }
  }
}

/** The sums of all lanes, in the first one's memory. */
export function joinSums([first, ...others]: GramSums[]): GramSums {
  for (const other of others) {
    for (const name of ["own", "cross"] as const) {
      const [sum, part] = [first![name], other[name]];
      for (let i = 0; i < sum.length; i++) sum[i]! += part[i]!;
    }
  }
  return first!;
}
