/** Import of Mamba-2 checkpoints: Hugging Face and original form, safetensors and PyTorch files, one description. */

import { createHash } from "node:crypto";
import { basename } from "node:path";
import { badInput } from "../errors.ts";
import { readConfig } from "./config.ts";
import { DTYPE_BYTES, elementCount, widen } from "./dtype.ts";
import { isDirectory, printable } from "./file.ts";
import { type LocatedTensor, locateTensors } from "./layout.ts";
import type { Checkpoint, Mamba2Config } from "./types.ts";
import { closeWeights, openWeights, type Weights } from "./weights.ts";

export type { Checkpoint, Dtype, Mamba2Config, Mamba2Shape, TensorInfo } from "./types.ts";

/**
 * Opens the checkpoint in a directory. Everything but the numbers is checked here; the numbers are read, and checked,
 * tensor by tensor.
 */
export function openCheckpoint(path: string): Checkpoint {
  if (!isDirectory(path)) throw badInput("not a directory", { file: path, expected: "a checkpoint's directory" });
  const config = readConfig(path);
  const weights = openWeights(path);
  try {
    return new WeightFilesCheckpoint(path, config, weights);
  } catch (error) {
    closeWeights(weights);
    throw error;
  }
}

class WeightFilesCheckpoint implements Checkpoint {
  readonly path: string;
  readonly config: Mamba2Config;
  readonly tensors: ReadonlyMap<string, LocatedTensor>;
  readonly #weights: Weights;

  constructor(path: string, config: Mamba2Config, weights: Weights) {
    this.path = path;
    this.config = config;
    this.tensors = locateTensors(config, weights);
    this.#weights = weights;
  }

  read(name: string): Float32Array {
    const tensor = this.tensors.get(name);
    if (!tensor) throw badInput("no such tensor", { file: this.path, field: printable(name) });
    const { dtype, range } = tensor;
    const values = new Float32Array(elementCount(tensor.shape));
    const bits = new Uint32Array(values.buffer);
    let done = 0;
    for (const piece of range.file.pieces(range.begin, range.end)) {
      const count = piece.length / DTYPE_BYTES[dtype];
      widen(dtype, piece, bits.subarray(done, done + count));
      done += count;
    }
    checkFinite(values, tensor);
    return values;
  }

  hash(): string {
    const hash = createHash("sha256");
    // JSON has no Infinity, and a time step limit may be one.
    hash.update(JSON.stringify(this.config, (_, value) => (value === Infinity ? "Infinity" : value)));
    const byName = this.#weights.files.toSorted((a, b) => (basename(a.path) < basename(b.path) ? -1 : 1));
    for (const file of byName) {
      hash.update(`\n${basename(file.path)} ${file.size}\n`);
      for (const piece of file.pieces(0, file.size)) hash.update(piece);
    }
    return hash.digest("hex");
  }

  close(): void {
    closeWeights(this.#weights);
  }
}

function checkFinite(values: Float32Array, { file, sourceName }: LocatedTensor): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      const detail = { file, field: `${sourceName}[${i}]`, expected: "a finite number", found: values[i]! };
      throw badInput("the tensor holds a value that is not finite", detail);
    }
  }
}
