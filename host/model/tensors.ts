/** The tensors of a model directory: names, types and shapes, for the writer and the loader alike (docs/format.md). */
import { BLOCK_ROWS } from "../../assembly/contract.ts";
import type { SafetensorsDtype } from "../checkpoint/safetensors.ts";
import type { Mamba2Config } from "../checkpoint/types.ts";
import type { WeightRecipe } from "./description.ts";
import { blockBytes, inProjOrder } from "./frames.ts";

export interface TensorSpec {
  dtype: SafetensorsDtype;
  shape: number[];
}

/** Where a tensor starts: weights that a DMA engine streams on a page, everything else on a beat. */
export function tensorAlignment(name: string): 4096 | 64 {
  return name.endsWith(".frames") ? 4096 : 64;
}

/** The coarsest of them: where the first tensor is put in memory. */
export const PAGE = 4096;

/** What decides the size of the frames. */
export type WeightFormat = Pick<WeightRecipe, "wide" | "group" | "embedding">;

export function modelTensors(config: Mamba2Config, format: WeightFormat): Map<string, TensorSpec> {
  const { dModel: D, nLayers, vocabSize: V } = config;
  const specs = new Map<string, TensorSpec>(
    format.embedding === "head"
      ? [["embedding.inverse_gamma", { dtype: "I16", shape: [D] }]]
      : [
          ["embedding.codes", { dtype: "I8", shape: [V, D] }],
          ["embedding.scale", { dtype: "U16", shape: [V] }],
          ["embedding.exponent", { dtype: "I8", shape: [V] }],
        ],
  );
  for (let i = 0; i < nLayers; i++) addLayer(specs, config, `layers.${i}`, format);
  addMatrix(specs, "lm_head", padded(V), D, format);
  specs.set("final_norm", { dtype: "F32", shape: [D] });
  return specs;
}

function addLayer(specs: Map<string, TensorSpec>, config: Mamba2Config, layer: string, format: WeightFormat): void {
  const { dModel: D, dInner: E, nHeads: H, nGroups: G, dState: N, convWidth: W, useBias } = config;
  const channels = E + 2 * G * N;
  const rows = inProjOrder(config).length;
  addMatrix(specs, `${layer}.in_proj`, rows, D, format);
  if (useBias) specs.set(`${layer}.in_proj.bias`, { dtype: "I32", shape: [rows] });
  specs.set(`${layer}.conv.weight`, { dtype: "I16", shape: [W, channels] });
  specs.set(`${layer}.conv.bias`, { dtype: "I32", shape: [channels] });
  specs.set(`${layer}.decay`, { dtype: "U16", shape: [H] });
  specs.set(`${layer}.decay_shift`, { dtype: "U8", shape: [H] });
  specs.set(`${layer}.dt_bias`, { dtype: "I32", shape: [H] });
  specs.set(`${layer}.skip`, { dtype: "I16", shape: [H] });
  specs.set(`${layer}.gate_norm`, { dtype: "I16", shape: [E] });
  addMatrix(specs, `${layer}.out_proj`, padded(D), E, format);
  if (useBias) specs.set(`${layer}.out_proj.bias`, { dtype: "I32", shape: [padded(D)] });
}

function addMatrix(
  specs: Map<string, TensorSpec>,
  name: string,
  rows: number,
  inputs: number,
  { wide, group }: WeightFormat,
): void {
  const planes = wide.includes(name) ? 2 : 1;
  specs.set(`${name}.frames`, { dtype: "U8", shape: [rows / BLOCK_ROWS, planes * blockBytes(inputs, group)] });
  specs.set(`${name}.row_exponent`, { dtype: "I8", shape: [rows] });
}

function padded(rows: number): number {
  return Math.ceil(rows / BLOCK_ROWS) * BLOCK_ROWS;
}
