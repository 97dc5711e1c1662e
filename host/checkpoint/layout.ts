/** The tensors a configuration implies, and their names and shapes in the files. */

import { badInput } from "../errors.ts";
import { isWeightDtype } from "./dtype.ts";
import { printable } from "./file.ts";
import { describe } from "./json.ts";
import type { Mamba2Config, TensorInfo } from "./types.ts";
import type { WeightRange, Weights } from "./weights.ts";

interface TensorSpec {
  name: string;
  shape: number[];
  sourceName: string;
  /** PyTorch's Conv1d has an axis of size 1 more. */
  sourceShape: number[];
}

export interface LocatedTensor extends TensorInfo {
  range: WeightRange;
}

/** Finds every tensor of the configuration among the weights, in the order of the model; each weight must be one of them. */
export function locateTensors(config: Mamba2Config, weights: Weights): Map<string, LocatedTensor> {
  const located = new Map<string, LocatedTensor>();
  const left = new Map(weights.ranges);
  for (const spec of tensorSpecs(config)) {
    const range = left.get(spec.sourceName);
    if (!range) throw badInput("the tensor is missing", { file: weights.path, field: spec.sourceName });
    left.delete(spec.sourceName);
    located.set(spec.name, locate(spec, range));
  }
  if (config.tieEmbeddings) dropTiedHead(config, left);
  for (const [name, { file }] of left) {
    throw badInput("the configuration has no such tensor", { file: file.path, field: printable(name) });
  }
  return located;
}

function locate(spec: TensorSpec, range: WeightRange): LocatedTensor {
  const { name, shape, sourceName, sourceShape } = spec;
  const { dtype, file } = range;
  const where = { file: file.path, field: sourceName };
  if (!isWeightDtype(dtype)) throw badInput("wrong dtype", { ...where, expected: "F32, F16 or BF16", found: dtype });
  if (String(range.shape) !== String(sourceShape)) {
    throw badInput("wrong shape", { ...where, expected: describe(sourceShape), found: describe([...range.shape]) });
  }
  return { name, dtype, shape, file: file.path, sourceName, range };
}

/** PyTorch saves a tied head a second time: the embedding is the one that is read. */
function dropTiedHead({ vocabSize, dModel }: Mamba2Config, left: Map<string, WeightRange>): void {
  const head = left.get(LM_HEAD);
  if (!head) return;
  locate({ name: "lm_head", shape: [vocabSize, dModel], sourceName: LM_HEAD, sourceShape: [vocabSize, dModel] }, head);
  left.delete(LM_HEAD);
}

const LM_HEAD = "lm_head.weight";

function tensorSpecs(config: Mamba2Config): TensorSpec[] {
  const { dModel, nLayers, vocabSize, tieEmbeddings } = config;
  const embedding = config.format === "huggingface" ? "backbone.embeddings.weight" : "backbone.embedding.weight";
  const specs = [plain("embedding", embedding, vocabSize, dModel)];
  for (let layer = 0; layer < nLayers; layer++) specs.push(...layerSpecs(config, layer));
  specs.push(plain("final_norm", "backbone.norm_f.weight", dModel));
  if (!tieEmbeddings) specs.push(plain("lm_head", LM_HEAD, vocabSize, dModel));
  return specs;
}

function plain(name: string, sourceName: string, ...shape: number[]): TensorSpec {
  return { name, shape, sourceName, sourceShape: shape };
}

function layerSpecs(config: Mamba2Config, layer: number): TensorSpec[] {
  const { dModel, dInner, nHeads, dState, nGroups, convWidth, useBias, useConvBias } = config;
  const ours = `layers.${layer}`;
  const source = `backbone.layers.${layer}`;
  const mixer = (name: string, sourceName: string, ...shape: number[]) =>
    plain(`${ours}.${name}`, `${source}.mixer.${sourceName}`, ...shape);
  const channels = dInner + 2 * nGroups * dState;
  const projected = dInner + channels + nHeads;
  return [
    plain(`${ours}.norm`, `${source}.norm.weight`, dModel),
    mixer("in_proj", "in_proj.weight", projected, dModel),
    ...(useBias ? [mixer("in_proj_bias", "in_proj.bias", projected)] : []),
    { ...mixer("conv", "conv1d.weight", channels, convWidth), sourceShape: [channels, 1, convWidth] },
    ...(useConvBias ? [mixer("conv_bias", "conv1d.bias", channels)] : []),
    mixer("A_log", "A_log", nHeads),
    mixer("D", "D", nHeads),
    mixer("dt_bias", "dt_bias", nHeads),
    mixer("gate_norm", "norm.weight", dInner),
    mixer("out_proj", "out_proj.weight", dModel, dInner),
    ...(useBias ? [mixer("out_proj_bias", "out_proj.bias", dModel)] : []),
  ];
}
