/** What is in a checkpoint or a model directory. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "./checkpoint/index.ts";
import { isPadding, SafetensorsFile } from "./checkpoint/safetensors.ts";
import type { Mamba2Config } from "./checkpoint/types.ts";
import { MODEL_FILES, type ModelDescription, readModelHeader } from "./model/description.ts";
import { weightBytesPerToken } from "./runtime/load.ts";
import { isModelDirectory } from "./trace.ts";

export interface InspectedTensor {
  name: string;
  dtype: string;
  shape: number[];
  bytes: number;
}

interface Inspected {
  dir: string;
  config: Mamba2Config;
  /** Weights of the model, whatever width they are stored in. */
  parameters: number;
  /** Bytes of all tensors. */
  bytes: number;
  tensors: InspectedTensor[];
  /** SHA-256: of a checkpoint's weights and configuration; of a model's model.safetensors. */
  sha256: string;
}

export interface InspectedCheckpoint extends Inspected {
  kind: "checkpoint";
}

export interface InspectedModel extends Inspected {
  kind: "model";
  description: ModelDescription;
  /** Stored bits of lm_head and the layers' matrices, scales included, per weight. */
  bitsPerWeight: number;
  weightBytesPerToken: number;
}

const DTYPE_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;

export function inspect(dir: string): InspectedCheckpoint | InspectedModel {
  return isModelDirectory(dir) ? inspectModel(dir) : inspectCheckpoint(dir);
}

function inspectCheckpoint(dir: string): InspectedCheckpoint {
  const checkpoint = openCheckpoint(dir);
  try {
    const tensors = [...checkpoint.tensors.values()].map(({ name, dtype, shape, stored }) => ({
      name,
      dtype: stored?.type ?? dtype,
      shape,
      bytes: stored?.bytes ?? elements(shape) * DTYPE_BYTES[dtype],
    }));
    return {
      kind: "checkpoint",
      dir,
      config: checkpoint.config,
      parameters: tensors.reduce((sum, { shape }) => sum + elements(shape), 0),
      bytes: totalBytes(tensors),
      tensors,
      sha256: checkpoint.hash(),
    };
  } finally {
    checkpoint.close();
  }
}

function inspectModel(dir: string): InspectedModel {
  const { config, description } = readModelHeader(dir);
  const path = join(dir, MODEL_FILES.weights);
  const file = SafetensorsFile.open(path);
  file.close();
  const tensors = [...file.tensors]
    .filter(([name]) => !isPadding(name))
    .map(([name, { dtype, shape, begin, end }]) => ({ name, dtype, shape, bytes: end - begin }));
  const streamed = weightBytesPerToken(config, description.weights);
  return {
    kind: "model",
    dir,
    config,
    description,
    parameters: parameterCount(config),
    bytes: statSync(path).size,
    tensors,
    bitsPerWeight: (8 * streamed) / matrixWeights(config),
    weightBytesPerToken: streamed,
    sha256: description.weightsSha256,
  };
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function totalBytes(tensors: readonly InspectedTensor[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Weights of in_proj, out_proj and lm_head. */
function matrixWeights({
  dModel: D,
  dInner: E,
  nGroups: G,
  dState: N,
  nHeads: H,
  nLayers,
  vocabSize,
}: Mamba2Config): number {
  return nLayers * ((2 * E + 2 * G * N + H) * D + D * E) + vocabSize * D;
}

function parameterCount(config: Mamba2Config): number {
  const { dModel: D, dInner: E, nGroups: G, dState: N, nHeads: H, convWidth: W, nLayers, vocabSize } = config;
  const channels = E + 2 * G * N;
  const biases = config.useBias ? 2 * E + 2 * G * N + H + D : 0;
  const conv = channels * (W + (config.useConvBias ? 1 : 0));
  const embedding = config.tieEmbeddings ? 0 : vocabSize * D;
  return matrixWeights(config) + embedding + nLayers * (conv + biases + 3 * H + E + D) + D;
}
