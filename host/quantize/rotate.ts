/**
 * Folding and rotation: a checkpoint's weights to weights of the same function in a rotated basis (the paper's section
 * on rotation-assisted quantization; QuaRot). Exact in real arithmetic.
 *
 * Residual stream: r' = H (s ∘ r) / sqrt(D), s random signs. γ1 is folded into in_proj, the final γ into lm_head, the
 * rotation into embedding, in_proj, out_proj and lm_head. Before out_proj a Hadamard runs online; its inverse is folded
 * into out_proj. γ2 is not folded, which would raise the error, except for outliers.
 */

import type { Mamba2Config } from "../checkpoint/types.ts";
import type { Rotation } from "../model/description.ts";
import {
  type HadamardShape,
  HadamardTransform,
  hadamardShape,
  hadamardSigns,
  identityShape,
} from "../model/hadamard.ts";
import type { Matrices, ReferenceLayer, ReferenceWeights } from "../reference/index.ts";
import { matrixSizes } from "../reference/layout.ts";
import { uniforms } from "../reference/random.ts";

/** Stream of the seed that the signs are drawn from; texts use the streams from 0. */
const SIGN_STREAM = 0xffff_ffff;

/** No rotation at all: γ is still folded. */
export function noRotation(dModel: number, dInner: number): Rotation {
  return { residual: identityShape(dModel), signSeed: 0, inner: identityShape(dInner), unrotated: [] };
}

export function fullRotation(dModel: number, dInner: number, signSeed: number): Rotation {
  return { residual: hadamardShape(dModel), signSeed, inner: hadamardShape(dInner), unrotated: [] };
}

export class ResidualRotation {
  readonly #transform: HadamardTransform;
  readonly #signs: Float64Array;
  readonly #buffer: Float64Array;

  constructor(rotation: Rotation, dModel: number) {
    this.#transform = new HadamardTransform(rotation.residual);
    const { order, log2 } = rotation.residual;
    const draw = uniforms(rotation.signSeed, SIGN_STREAM);
    const rotates = order > 1 || log2 > 0;
    this.#signs = new Float64Array(dModel).map(() => (rotates && draw() < 0.5 ? -1 : 1));
    this.#buffer = new Float64Array(dModel);
  }

  /** Each row of x [rows, D] into the rotated basis, in place, after a factor per column. */
  rows(x: Float32Array, columnFactor?: Float32Array): void {
    const { length: d } = this.#signs;
    const unit = this.#transform.unit;
    const row = this.#buffer;
    for (let at = 0; at < x.length; at += d) {
      for (let i = 0; i < d; i++) row[i] = x[at + i]! * this.#signs[i]! * unit * (columnFactor?.[i] ?? 1);
      this.#transform.apply(row);
      x.set(row, at);
    }
  }

  /** Each column of x [D, columns] into the rotated basis, in place. */
  columns(x: Float32Array, columns: number): void {
    const { length: d } = this.#signs;
    const unit = this.#transform.unit;
    const column = this.#buffer;
    for (let c = 0; c < columns; c++) {
      for (let i = 0; i < d; i++) column[i] = x[i * columns + c]! * this.#signs[i]! * unit;
      this.#transform.apply(column);
      for (let i = 0; i < d; i++) x[i * columns + c] = column[i]!;
    }
  }

  /** Rows of x [rows, D] back into the original basis, in place: the transform's transpose. */
  undo(x: Float32Array): void {
    const { length: d } = this.#signs;
    const unit = this.#transform.unit;
    for (let at = 0; at < x.length; at += d) {
      const row = this.#buffer;
      row.set(x.subarray(at, at + d));
      this.#transform.applyTransposed(row);
      for (let i = 0; i < d; i++) x[at + i] = row[i]! * this.#signs[i]! * unit;
    }
  }
}

/** The same model with γ1 and the final γ folded and the rotation applied; layers are made as they are asked for. */
export function rotateWeights(weights: ReferenceWeights, rotation: Rotation): ReferenceWeights {
  const { config } = weights;
  const residual = new ResidualRotation(rotation, config.dModel);
  const embedding = weights.embedding.slice();
  residual.rows(embedding);
  const lmHead = weights.lmHead.slice();
  residual.rows(lmHead, weights.finalNorm);
  return {
    config,
    embedding,
    lmHead,
    layer: (index) => rotatedLayer(weights, rotation, index),
    finalNorm: new Float32Array(config.dModel).fill(1),
    online: {
      ...rotation.inner,
      signs: hadamardSigns(rotation.inner.order),
      unrotated: rotation.unrotated,
    },
  };
}

function newMatrices(config: Mamba2Config): Matrices {
  const { inProj, outProj } = matrixSizes(config);
  return { inProj: new Float32Array(inProj), outProj: new Float32Array(outProj) };
}

/** One block of rotateWeights, its matrices in `matrices`. */
export function rotatedLayer(
  weights: ReferenceWeights,
  rotation: Rotation,
  index: number,
  matrices = newMatrices(weights.config),
): ReferenceLayer {
  const { config } = weights;
  const residual = new ResidualRotation(rotation, config.dModel);
  const layer = weights.layer(index, matrices);
  // Weights that keep their layers hand out their own: those must not change.
  if (layer.inProj !== matrices.inProj) matrices.inProj.set(layer.inProj);
  if (layer.outProj !== matrices.outProj) matrices.outProj.set(layer.outProj);
  const copy = { ...layer, ...matrices };
  const rotates = rotation.inner.blocks < config.dInner;
  const calm = rotates ? withoutOutliers(copy, config.dInner) : copy;
  return rotateLayer(calm, residual, innerOf(rotation, index, config.dInner), config);
}

function innerOf(rotation: Rotation, layer: number, dInner: number): HadamardShape {
  return rotation.unrotated.includes(layer) ? identityShape(dInner) : rotation.inner;
}

/** In place, in what concerns the matrices. */
function rotateLayer(
  layer: ReferenceLayer,
  residual: ResidualRotation,
  inner: HadamardShape,
  { dModel, dInner }: { dModel: number; dInner: number },
): ReferenceLayer {
  const { inProj, outProj } = layer;
  residual.rows(inProj, layer.norm);
  rotateInner(outProj, inner, dInner);
  residual.columns(outProj, dInner);
  const outProjBias = layer.outProjBias?.slice();
  if (outProjBias) residual.columns(outProjBias, 1);
  return { ...layer, norm: new Float32Array(dModel).fill(1), outProjBias };
}

/** Channels nearer to the median than this factor are no outliers. */
const OUTLIER = 2;

/**
 * γ2 / k and out_proj · k: the same function. The transform spreads a channel over all the others, so one that is large in
 * γ2 and small in out_proj's columns, or the other way round, costs them all. k takes an outlier towards the medians of
 * both, until it meets one: what is large in one and not small in the other stays. out_proj changes in place.
 */
function withoutOutliers(layer: ReferenceLayer, dInner: number): ReferenceLayer {
  const squares = new Float64Array(dInner);
  layer.outProj.forEach((value, at) => {
    squares[at % dInner]! += value ** 2;
  });
  const gamma = overMedian(layer.gateNorm.map(Math.abs));
  const column = overMedian(squares.map(Math.sqrt));
  const k = gamma.map((over, c) => {
    const [less, more] = [Math.min(over, 1 / column[c]!), Math.max(over, 1 / column[c]!)];
    if (less >= OUTLIER && less < Number.POSITIVE_INFINITY) return less;
    return more > 0 && more <= 1 / OUTLIER ? more : 1;
  });
  layer.outProj.forEach((value, at, outProj) => {
    outProj[at] = value * k[at % dInner]!;
  });
  return { ...layer, gateNorm: layer.gateNorm.map((value, c) => value / k[c]!) };
}

function overMedian(magnitudes: Float32Array | Float64Array): Float64Array {
  const median = magnitudes.toSorted()[magnitudes.length >> 1]!;
  return Float64Array.from(magnitudes, (value) => value / median);
}

/** Rows of out_proj [D, E]: w·u = (H w / sqrt E)·(H u / sqrt E). */
function rotateInner(outProj: Float32Array, shape: HadamardShape, dInner: number): void {
  const transform = new HadamardTransform(shape);
  const row = new Float64Array(dInner);
  for (let at = 0; at < outProj.length; at += dInner) {
    for (let i = 0; i < dInner; i++) row[i] = outProj[at + i]! * transform.unit;
    transform.apply(row);
    outProj.set(row, at);
  }
}
