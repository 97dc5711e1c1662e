/** Finds the weight files of a directory and says where in them each tensor lies. Every format ends as byte ranges. */

import { join } from "node:path";
import { badInput } from "../errors.ts";
import { exists, type InputFile, printable } from "./file.ts";
import { describe, isObject, readJsonObject } from "./json.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { openTorchWeights } from "./torch.ts";

/** A tensor as its file has it: contiguous little-endian elements in the bytes [begin, end). */
export interface WeightRange {
  dtype: string;
  shape: readonly number[];
  file: InputFile;
  begin: number;
  end: number;
}

export interface Weights {
  /** What holds or lists the tensors: the file to name when one is missing. */
  path: string;
  files: InputFile[];
  /** By the names the files use. */
  ranges: Map<string, WeightRange>;
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const TORCH = "pytorch_model.bin";
/** Each shard is held open. */
const MOST_SHARDS = 512;

export function openWeights(directory: string): Weights {
  if (exists(join(directory, SINGLE))) return openSingle(join(directory, SINGLE));
  if (exists(join(directory, INDEX))) return openSharded(directory);
  if (exists(join(directory, TORCH))) return openTorchWeights(join(directory, TORCH));
  throw badInput("no weights found", { file: directory, expected: `${SINGLE}, ${INDEX} or ${TORCH}` });
}

export function closeWeights(weights: Weights): void {
  for (const file of weights.files) file.close();
}

function openSingle(path: string): Weights {
  const weights: Weights = { path, files: [], ranges: new Map() };
  addFile(weights, path);
  return weights;
}

function openSharded(directory: string): Weights {
  const path = join(directory, INDEX);
  const shardOf = readWeightMap(path);
  const weights: Weights = { path, files: [], ranges: new Map() };
  try {
    for (const shard of new Set(shardOf.values())) addFile(weights, join(directory, shard));
    for (const [name, shard] of shardOf) {
      const file = join(directory, shard);
      if (weights.ranges.get(name)?.file.path !== file) {
        throw badInput("the index lists a tensor the shard does not have", { file, field: printable(name) });
      }
    }
    for (const [name, { file }] of weights.ranges) {
      if (!shardOf.has(name)) {
        throw badInput("the tensor is not in the index", { file: file.path, field: printable(name) });
      }
    }
    return weights;
  } catch (error) {
    closeWeights(weights);
    throw error;
  }
}

/** Tensor name to shard. A shard is a plain file name: an index must not reach outside its directory. */
function readWeightMap(path: string): Map<string, string> {
  const map = readJsonObject(path).weight_map;
  if (!isObject(map))
    throw badInput("wrong value", { file: path, field: "weight_map", expected: "an object", found: describe(map) });
  const shardOf = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !/^[^/\\\0]+$/.test(shard) || shard === "." || shard === "..") {
      const field = `weight_map.${printable(name)}`;
      throw badInput("wrong shard", {
        file: path,
        field,
        expected: "a file name in this directory",
        found: describe(shard),
      });
    }
    shardOf.set(name, shard);
  }
  const shards = new Set(shardOf.values()).size;
  if (shards > MOST_SHARDS)
    throw badInput("too many shards", { file: path, expected: `at most ${MOST_SHARDS}`, found: shards });
  return shardOf;
}

function addFile(weights: Weights, path: string): void {
  const { file, tensors } = SafetensorsFile.open(path);
  weights.files.push(file);
  for (const [name, { dtype, shape, begin, end }] of tensors) {
    const other = weights.ranges.get(name);
    if (other) {
      const field = printable(name);
      throw badInput("the tensor is in two shards", { file: path, field, found: `also in ${other.file.path}` });
    }
    weights.ranges.set(name, { dtype, shape, file, begin, end });
  }
}
