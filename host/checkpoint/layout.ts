/** The tensors a configuration implies, and their names and shapes in the files. */

import { badInput } from "../errors.ts";
import { isWeightDtype } from "./dtype.ts";
import { printable } from "./file.ts";
import { ggmlTypeNamed } from "./ggml-types.ts";
import { describe } from "./json.ts";
import { type LayerPart, NAMINGS, type Naming } from "./naming.ts";
import type { Mamba2Config, TensorInfo } from "./types.ts";
import type { WeightRange, Weights } from "./weights.ts";

interface TensorSpec {
  name: string;
  shape: number[];
  sourceName: string;
  sourceShape: number[];
  /** The file has -exp(value). */
  negativeExp?: boolean;
}

export interface LocatedTensor extends TensorInfo {
  range: WeightRange;
  negativeExp?: boolean;
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

function locate({ name, shape, sourceName, sourceShape, negativeExp }: TensorSpec, range: WeightRange): LocatedTensor {
  const { dtype, file } = range;
  const where = { file: file.path, field: sourceName };
  if (ggmlTypeNamed(dtype) === undefined) {
    throw badInput("wrong dtype", { ...where, expected: "F32, F16 or BF16", found: dtype });
  }
  if (String(range.shape) !== String(sourceShape)) {
    throw badInput("wrong shape", { ...where, expected: describe(sourceShape), found: describe([...range.shape]) });
  }
  const found = { name, shape, file: file.path, sourceName, range, ...(negativeExp && { negativeExp }) };
  if (isWeightDtype(dtype)) return { ...found, dtype };
  return { ...found, dtype: "F32", stored: { type: dtype, bytes: range.end - range.begin } };
}

/** PyTorch saves a tied head a second time: the embedding is the one that is read. */
function dropTiedHead({ format, vocabSize, dModel }: Mamba2Config, left: Map<string, WeightRange>): void {
  const { head } = NAMINGS[format];
  const range = left.get(head);
  if (!range) return;
  locate(spec("lm_head", head, [vocabSize, dModel]), range);
  left.delete(head);
}

/** In the order of the model. */
export function tensorSpecs(config: Mamba2Config): TensorSpec[] {
  const { dModel, nLayers, vocabSize, tieEmbeddings } = config;
  const naming = NAMINGS[config.format];
  const specs = [spec("embedding", naming.embedding, [vocabSize, dModel])];
  for (let layer = 0; layer < nLayers; layer++) specs.push(...layerSpecs(config, naming, layer));
  specs.push(spec("final_norm", naming.finalNorm, [dModel]));
  if (!tieEmbeddings) specs.push(spec("lm_head", naming.head, [vocabSize, dModel]));
  return specs;
}

function spec(name: string, sourceName: string, shape: number[], sourceShape = shape): TensorSpec {
  return { name, shape, sourceName, sourceShape };
}

function layerSpecs(config: Mamba2Config, naming: Naming, layer: number): TensorSpec[] {
  const { dModel, dInner, nHeads, dState, nGroups, convWidth, useBias, useConvBias } = config;
  const channels = dInner + 2 * nGroups * dState;
  const projected = dInner + channels + nHeads;
  const prefix = `${naming.layers}.${layer}`;
  const part = (name: LayerPart, ...shape: number[]) => {
    const sourceShape = naming.reshaped(name, shape, config);
    return spec(`layers.${layer}.${name}`, `${prefix}.${naming.parts[name]}`, shape, sourceShape);
  };
  return [
    part("norm", dModel),
    part("in_proj", projected, dModel),
    ...(useBias ? [part("in_proj_bias", projected)] : []),
    part("conv", channels, convWidth),
    ...(useConvBias ? [part("conv_bias", channels)] : []),
    { ...part("A_log", nHeads), ...(config.format === "gguf" && { negativeExp: true }) },
    part("D", nHeads),
    part("dt_bias", nHeads),
    part("gate_norm", dInner),
    part("out_proj", dModel, dInner),
    ...(useBias ? [part("out_proj_bias", dModel)] : []),
  ];
}
