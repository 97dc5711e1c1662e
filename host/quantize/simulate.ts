/**
 * The float simulation of a quantized model: weights as their codes say, activations of the linear layers rounded as NQU
 * does, everything else in FP32. What the integer pipeline loses against it is the price of
 * integers alone.
 */
import { join } from "node:path";
import { SafetensorsFile } from "../checkpoint/safetensors.ts";
import {
  type ActivationBits,
  type Fractions,
  MODEL_FILES,
  type ModelHeader,
  type Rotation,
  type WeightRecipe,
} from "../model/description.ts";
import { dequantize, inProjOrder, plainOrder, type RowOrder, unpack } from "../model/frames.ts";
import { HadamardTransform } from "../model/hadamard.ts";
import type { LinearSite, ReferenceHooks, ReferenceWeights } from "../reference/index.ts";
import { Arena, sharedOffline } from "../reference/offline.ts";
import { rotateWeights } from "./rotate.ts";

/** What the simulation reads of a quantized model: from a file, or while it is being made. */
export interface SimulatedModel {
  rotation: Rotation;
  weights: WeightRecipe;
  layers: Fractions[];
  /** Bytes of a tensor. */
  read(name: string): Uint8Array;
}

/** The model in a directory. */
export function modelOnDisk({ dir, description }: ModelHeader): SimulatedModel {
  const file = SafetensorsFile.open(join(dir, MODEL_FILES.weights));
  const { rotation, weights, layers } = description;
  return { rotation, weights, layers, read: (name) => file.readBytes(name) };
}

/**
 * `plain`: the weights of the checkpoint the model was made from. Only the matrices in `only` are quantized, by default
 * all.
 */
export function simulatedWeights(
  plain: ReferenceWeights,
  { rotation, weights, layers, read }: SimulatedModel,
  only: (matrix: string) => boolean = () => true,
): ReferenceWeights {
  const { dModel, dInner, vocabSize } = plain.config;
  const rotated = rotateWeights(plain, rotation);
  const matrix = (name: string, order: RowOrder, inputs: number): Float32Array => {
    const planes = weights.wide.includes(name) ? 2 : 1;
    const exponents = read(`${name}.row_exponent`);
    const rowExponents = new Int8Array(exponents.buffer, exponents.byteOffset, exponents.length);
    return dequantize(unpack({ frames: read(`${name}.frames`), planes, rowExponents }, order, inputs, weights.group));
  };
  const innerUnit = new HadamardTransform(rotation.inner).unit;
  const inOrder = inProjOrder(plain.config);
  return {
    ...rotated,
    lmHead: only("lm_head") ? matrix("lm_head", plainOrder(vocabSize), dModel) : rotated.lmHead,
    layer(i) {
      const layer = rotated.layer(i);
      const [inName, outName] = [`layers.${i}.in_proj`, `layers.${i}.out_proj`];
      const unit = rotation.unrotated.includes(i) ? 1 : innerUnit;
      if (only(inName)) layer.inProj = matrix(inName, inOrder, dModel);
      if (!only(outName)) return layer;
      layer.outProj = matrix(outName, plainOrder(dModel), dInner).map((value) => value / unit);
      // γ2 too: SmoothQuant has moved a part of it into out_proj.
      const gamma = read(`layers.${i}.gate_norm`).slice();
      layer.gateNorm = Float32Array.from(new Int16Array(gamma.buffer), (value) => value / 2 ** layers[i]!.gamma);
      return layer;
    },
  };
}

/** Rounds the input of every linear layer in place, or of those in `only`; `see` is told the input and its rounding. */
export function activationHook(
  bits: ActivationBits,
  only: (site: LinearSite) => boolean = () => true,
  see?: (site: LinearSite, exact: Float32Array, rounded: Float32Array) => void,
): ReferenceHooks {
  const offline = sharedOffline();
  return {
    linearInput(site, x, rows) {
      if (!only(site)) return;
      const arena = new Arena(offline.start);
      const at = arena.floats(x.length);
      offline.reserve(arena.end);
      offline.floats(at, x.length).set(x);
      offline.kernels.quantizeActivations(at, rows, x.length / rows, bits);
      const rounded = offline.floats(at, x.length);
      see?.(site, x, rounded);
      x.set(rounded);
    },
  };
}
