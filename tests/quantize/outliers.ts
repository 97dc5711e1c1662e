/**
 * Function-preserving outliers: γ2 of some channels times k and out_proj's columns by k, and the same for γ1 and in_proj.
 * The FP32 model stays what it was; plain rounding of its activations does not.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import { type SafetensorsTensor, writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import { uniforms } from "../../host/reference/random.ts";

export interface Outliers {
  /** Share of the channels, drawn anew for each layer. */
  share: number;
  factor: number;
  /** γ1 and in_proj too. */
  residual?: boolean;
}

/** Writes a copy of the checkpoint in `source` with outliers to `target`, in FP32. */
export function injectOutliers(source: string, target: string, { share, factor, residual = false }: Outliers): void {
  const checkpoint = openCheckpoint(source);
  const draw = uniforms(1, 0);
  mkdirSync(target, { recursive: true });
  const values = new Map([...checkpoint.tensors.keys()].map((name) => [name, checkpoint.read(name)]));
  for (let i = 0; i < checkpoint.config.nLayers; i++) {
    const pairs = [["gate_norm", "out_proj"], ...(residual ? [["norm", "in_proj"]] : [])] as [string, string][];
    for (const [norm, matrix] of pairs) {
      const gamma = values.get(`layers.${i}.${norm}`)!;
      const weights = values.get(`layers.${i}.${matrix}`)!;
      scaleChannels(gamma, weights, () => (draw() < share ? factor : 1));
    }
  }
  const tensors: SafetensorsTensor[] = [...checkpoint.tensors.values()].map(({ name, sourceName, shape }) => {
    const { buffer, byteOffset, byteLength } = values.get(name)!;
    return {
      name: sourceName,
      dtype: "F32",
      shape: stored(name, shape),
      data: new Uint8Array(buffer, byteOffset, byteLength),
    };
  });
  writeSafetensors(join(target, "model.safetensors"), tensors);
  const config = readFileSync(join(source, "config.json"), "utf8");
  writeFileSync(join(target, "config.json"), config.replace('"float16"', '"float32"'));
  for (const name of ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]) {
    copyFileSync(join(source, name), join(target, name));
  }
  checkpoint.close();
}

/** The file has conv1d.weight as [C, 1, W]. */
function stored(name: string, shape: readonly number[]): number[] {
  return name.endsWith(".conv") ? [shape[0]!, 1, shape[1]!] : [...shape];
}

function scaleChannels(gamma: Float32Array, weights: Float32Array, factor: () => number): void {
  const columns = gamma.length;
  for (let c = 0; c < columns; c++) {
    const k = factor();
    gamma[c]! *= k;
    for (let at = c; at < weights.length; at += columns) weights[at]! /= k;
  }
}
