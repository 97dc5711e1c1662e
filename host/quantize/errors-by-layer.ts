/** Where the error of a quantized model sits: each layer quantized alone, and each matrix. */
import { type ModelDescription, matrixNames } from "../model/description.ts";
import {
  crossEntropyAndKl,
  type LinearSite,
  nextTokens,
  Reference,
  type ReferenceHooks,
  type ReferenceWeights,
} from "../reference/index.ts";
import { activationHook, type SimulatedModel, simulatedWeights } from "./simulate.ts";

export interface LayerReport {
  /** `layers.3`, `lm_head`. */
  name: string;
  /** Signal-to-noise of the weights in dB; lm_head has one matrix. */
  weightDb: number[];
  /** Signal-to-noise of the inputs of its matrices in dB, from the FP32 model's values. */
  activationDb: number[];
  /** KL to FP32 when only this layer is quantized, nats per token. */
  kl: number;
}

type Progress = (done: number, total: number) => void;

/** Simulates the model with one layer quantized at a time, on `ids`. */
export function layerReport(
  plain: ReferenceWeights,
  model: SimulatedModel,
  { activationBits, errors }: Pick<ModelDescription, "activationBits" | "errors">,
  ids: Int32Array,
  progress?: Progress,
): LayerReport[] {
  const { nLayers } = plain.config;
  const exact = logitsOf(plain, ids);
  return Array.from({ length: nLayers + 1 }, (_, i) => {
    const name = i < nLayers ? `layers.${i}` : "lm_head";
    const noise = new ActivationNoise();
    const hook = activationHook(activationBits, (site) => site.layer === i, noise.see);
    const weights = simulatedWeights(plain, model, (matrix) => matrix === name || matrix.startsWith(`${name}.`));
    const kl = divergence(plain, exact, logitsOf(weights, ids, hook), ids);
    progress?.(i + 1, nLayers + 1);
    const layer = errors.layers[i];
    const weightDb = layer ? [layer.inProjDb, layer.outProjDb] : [errors.headDb];
    return { name, weightDb, activationDb: noise.decibels(), kl };
  });
}

/** KL that rounding each matrix alone costs, activations exact: what 8 bits for it would win. */
export function matrixCosts(
  plain: ReferenceWeights,
  model: SimulatedModel,
  ids: Int32Array,
  progress?: Progress,
): Map<string, number> {
  const exact = logitsOf(plain, ids);
  const names = matrixNames(plain.config.nLayers);
  return new Map(
    names.map((name, i) => {
      const weights = simulatedWeights(plain, model, (matrix) => matrix === name);
      const kl = divergence(plain, exact, logitsOf(weights, ids), ids);
      progress?.(i + 1, names.length);
      return [name, kl];
    }),
  );
}

function logitsOf(weights: ReferenceWeights, ids: Int32Array, hook: ReferenceHooks = {}): Float32Array {
  return new Reference(weights, { sequences: 1 }).forward(ids, hook).logits!;
}

function divergence({ config }: ReferenceWeights, exact: Float32Array, logits: Float32Array, ids: Int32Array): number {
  return crossEntropyAndKl(logits, exact, nextTokens(ids), config).kl;
}

/** Signal and noise of the inputs of each matrix, summed over rows. */
class ActivationNoise {
  readonly #sums = new Map<LinearSite["matrix"], { signal: number; noise: number }>();

  see = ({ matrix }: LinearSite, exact: Float32Array, rounded: Float32Array): void => {
    const sums = this.#sums.get(matrix) ?? { signal: 0, noise: 0 };
    this.#sums.set(matrix, sums);
    exact.forEach((value, i) => {
      sums.signal += value ** 2;
      sums.noise += (value - rounded[i]!) ** 2;
    });
  };

  decibels(): number[] {
    return [...this.#sums.values()].map(({ signal, noise }) => 10 * Math.log10(signal / noise));
  }
}
