/**
 * Error feedback: from the statistics of a layer's inputs to the factors that rounding uses (GPTQ, arXiv 2210.17323;
 * the correction towards the FP32 model's inputs: GPTAQ, arXiv 2504.02692).
 */
import { LightMambaError } from "../errors.ts";
import { Arena, Offline } from "../reference/offline.ts";
import { SharedBuffers } from "../reference/shared.ts";
import type { GramSums } from "./gram.ts";

/** Added to the Hessian's diagonal, as a part of its mean: measured flat from 0.3 % to 3 %. */
const DAMPING = 0.01;

/** Columns that the kernel inverts together. */
const PANEL_COLUMNS = 16;

/** K inputs; both f32 [K, K], in memory that all threads see. */
export interface Feedback {
  /** Upper, H⁻¹ = uᵀu. */
  u: Float32Array;
  /** triu((X̃ - X̂)ᵀX̂ · uᵀ, 1) · u. */
  p: Float32Array;
}

/** The factors last until the next ones take their place in `shared`. */
export function feedbackFactors({ own, cross }: GramSums, k: number, shared = new SharedBuffers()): Feedback {
  const u = inverseFactor(own, k, shared);
  const m = correction(cross, own, u, k);
  return { u, p: timesUpper(m, u, k, shared) };
}

/** u upper with H⁻¹ = uᵀu, H the damped sums. */
function inverseFactor(own: Float64Array, k: number, shared: SharedBuffers): Float32Array {
  const offline = new Offline();
  const { kernels } = offline;
  const arena = new Arena(offline.start);
  const [h, u] = [arena.take(8 * k * k), arena.take(8 * k * k)];
  const panel = arena.take(8 * k * PANEL_COLUMNS);
  offline.reserve(arena.end);
  const damped = offline.doubles(h, k * k);
  damped.set(own);
  let trace = 0;
  for (let i = 0; i < k; i++) trace += own[i * k + i]!;
  const damping = (DAMPING * trace) / k;
  for (let i = 0; i < k; i++) damped[i * k + i]! += damping;
  if (kernels.inverseFactor(u, h, panel, k) === 0) {
    throw new LightMambaError("unsupported", "the calibration text does not determine the weights", {
      hint: "use more or other text: --calibration-tokens, --calibration",
    });
  }
  // H is done with.
  kernels.narrow(h, u, k * k);
  const out = shared.floats("u", k * k);
  out.set(offline.floats(h, k * k));
  return out;
}

/** triu((X̃ - X̂)ᵀX̂ · uᵀ, 1) [K, K], block by block: what lies below u's diagonal adds nothing. */
function correction(cross: Float64Array, own: Float64Array, u: Float32Array, k: number): Float32Array {
  const difference = new Float32Array(k * k);
  for (let i = 0; i < difference.length; i++) difference[i] = cross[i]! - own[i]!;
  const out = new Float32Array(k * k);
  const product = blockProduct(k);
  for (const [start, end] of blocksOf(k)) {
    const block = product({ matrix: difference, rows: [0, end] }, { matrix: u, rows: [start, end] }, [start, k]);
    for (let i = 0; i < end; i++) {
      const from = Math.max(start, i + 1);
      out.set(block.subarray(i * (end - start) + from - start, (i + 1) * (end - start)), i * k + from);
    }
  }
  return out;
}

/** m · u [K, K] of two upper matrices, block by block. */
function timesUpper(m: Float32Array, u: Float32Array, k: number, shared: SharedBuffers): Float32Array {
  const transposed = transpose(u, k);
  const out = shared.floats("p", k * k).fill(0);
  const product = blockProduct(k);
  for (const rows of blocksOf(k)) {
    for (const columns of blocksOf(k)) {
      if (columns[0] < rows[0]) continue;
      const block = product({ matrix: m, rows }, { matrix: transposed, rows: columns }, [rows[0], columns[1]]);
      const width = columns[1] - columns[0];
      for (let i = rows[0]; i < rows[1]; i++) {
        const at = (i - rows[0]) * width;
        out.set(block.subarray(at, at + width), i * k + columns[0]);
      }
    }
  }
  return out;
}

type Range = [start: number, end: number];

/** Blocks a side, of multiples of four: a sum that starts at one has the same lanes as the whole. */
function blocksOf(k: number): Range[] {
  const size = Math.max(64, Math.ceil(k / 32) * 4);
  return Array.from({ length: Math.ceil(k / size) }, (_, b) => [b * size, Math.min(k, (b + 1) * size)]);
}

/** Products x · yᵀ of some rows of two matrices [K, K] over a range of columns, [rows of x, rows of y]. */
function blockProduct(k: number) {
  const offline = new Offline();
  return (x: { matrix: Float32Array; rows: Range }, y: { matrix: Float32Array; rows: Range }, columns: Range) => {
    const inner = columns[1] - columns[0];
    const arena = new Arena(offline.start);
    const place = ({ matrix, rows: [start, end] }: typeof x) => {
      const at = arena.floats((end - start) * inner);
      offline.reserve(arena.end);
      const packed = offline.floats(at, (end - start) * inner);
      for (let i = start; i < end; i++) {
        packed.set(matrix.subarray(i * k + columns[0], i * k + columns[1]), (i - start) * inner);
      }
      return at;
    };
    const [a, b] = [place(x), place(y)];
    const [height, width] = [x.rows[1] - x.rows[0], y.rows[1] - y.rows[0]];
    const out = arena.floats(height * width);
    offline.reserve(arena.end);
    offline.kernels.matmul(out, a, b, 0, height, width, inner);
    return offline.floats(out, height * width);
  };
}

function transpose(square: Float32Array, k: number): Float32Array {
  const offline = new Offline();
  const arena = new Arena(offline.start);
  const [from, to] = [arena.floats(k * k), arena.floats(k * k)];
  offline.reserve(arena.end);
  offline.floats(from, k * k).set(square);
  offline.kernels.transpose(to, from, k, k);
  return offline.floats(to, k * k);
}

/**
 * How much a layer's output differs from the FP32 model's, up to a term that does not depend on the rounding:
 * ‖X̃·W̃ᵀ - X̂·Ŵᵀ‖² - ‖X̃·W̃ᵀ‖², from the statistics of the inputs. W̃ and Ŵ are [rows, K].
 */
export function outputLoss({ own, cross }: GramSums, exact: Float32Array, rounded: Float32Array, k: number): number {
  const offline = new Offline();
  const arena = new Arena(offline.start);
  const rows = exact.length / k;
  const [w, product, square, transposed] = [
    arena.floats(rows * k),
    arena.floats(rows * k),
    arena.floats(k * k),
    arena.floats(k * k),
  ];
  offline.reserve(arena.end);
  const inner = (left: Float32Array, matrix: Float64Array): number => {
    offline.floats(square, k * k).set(matrix);
    offline.kernels.transpose(transposed, square, k, k);
    offline.floats(w, rows * k).set(left);
    offline.kernels.matmul(product, w, transposed, 0, rows, k, k);
    const values = offline.floats(product, rows * k);
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[i]! * rounded[i]!;
    return sum;
  };
  return inner(rounded, own) - 2 * inner(exact, cross);
}
