/**
 * Error feedback: from the statistics of a layer's inputs to the factors that rounding uses (GPTQ, arXiv 2210.17323;
 * the correction towards the FP32 model's inputs: GPTAQ, arXiv 2504.02692).
 */
import { LightMambaError } from "../errors.ts";
import { Arena, Offline } from "../reference/offline.ts";
import type { GramSums } from "./lane.ts";

/** Added to the Hessian's diagonal, as a part of its mean: measured flat from 0.3 % to 3 %. */
const DAMPING = 0.01;

/** K inputs; both f32 [K, K]. */
export interface Feedback {
  /** Upper, H⁻¹ = uᵀu. */
  u: Float32Array;
  /** triu((X̃ - X̂)ᵀX̂ · uᵀ, 1) · u. */
  p: Float32Array;
}

/** The sums of all lanes, in the first one's memory. */
export function joinSums([first, ...others]: GramSums[]): GramSums {
  for (const other of others) {
    for (let i = 0; i < other.own.length; i++) {
      first!.own[i]! += other.own[i]!;
      first!.cross[i]! += other.cross[i]!;
    }
  }
  return first!;
}

export function feedbackFactors({ own, cross }: GramSums, k: number): Feedback {
  const offline = new Offline();
  const { kernels } = offline;
  const arena = new Arena(offline.start);
  const [h, u] = [arena.take(8 * k * k), arena.take(8 * k * k)];
  const [narrowU, difference, product, transposed] = Array.from({ length: 4 }, () => arena.floats(k * k)) as [
    number,
    number,
    number,
    number,
  ];
  offline.reserve(arena.end);
  offline.doubles(h, k * k).set(damped(own, k));
  if (kernels.inverseFactor(u, h, k) === 0) {
    throw new LightMambaError("unsupported", "the calibration text does not determine the weights", {
      hint: "use more or other text: --calibration-tokens, --calibration",
    });
  }
  kernels.narrow(narrowU, u, k * k);
  const values = offline.floats(difference, k * k);
  for (let i = 0; i < values.length; i++) values[i] = cross[i]! - own[i]!;
  kernels.matmul(product, difference, narrowU, 0, k, k, k);
  const m = offline.floats(product, k * k);
  for (let i = 0; i < k; i++) m.fill(0, i * k, i * k + i + 1);
  kernels.transpose(transposed, narrowU, k, k);
  kernels.matmul(difference, product, transposed, 0, k, k, k);
  return { u: offline.floats(narrowU, k * k).slice(), p: offline.floats(difference, k * k).slice() };
}

function damped(own: Float64Array, k: number): Float64Array {
  const h = own.slice();
  let trace = 0;
  for (let i = 0; i < k; i++) trace += h[i * k + i]!;
  const damping = (DAMPING * trace) / k;
  for (let i = 0; i < k; i++) h[i * k + i]! += damping;
  return h;
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
