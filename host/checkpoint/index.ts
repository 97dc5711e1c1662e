/** Import of Mamba-2 checkpoints: Hugging Face and original form, safetensors, PyTorch and GGUF files, one description. */

import { createHash } from "node:crypto";
import { basename } from "node:path";
import { badInput } from "../errors.ts";
import { readConfig } from "./config.ts";
import { decode } from "./dequantize.ts";
import { elementCount } from "./dtype.ts";
import { printable } from "./file.ts";
import { ggmlTypeNamed } from "./ggml-types.ts";
import { findGguf, openGguf } from "./gguf-weights.ts";
import { type LocatedTensor, locateTensors } from "./layout.ts";
import type { Checkpoint, Mamba2Config } from "./types.ts";
import { closeWeights, openWeights, type Weights } from "./weights.ts";

export type { Checkpoint, Dtype, Mamba2Config, Mamba2Shape, TensorInfo } from "./types.ts";

/**
 * Opens the checkpoint in a directory, or a GGUF file. Everything but the numbers is checked here; the numbers are read,
 * and checked, tensor by tensor.
 */
export function openCheckpoint(path: string): Checkpoint {
  const gguf = findGguf(path);
  const source = gguf === undefined ? { config: readConfig(path), weights: openWeights(path) } : openGguf(gguf);
  try {
    return new WeightFilesCheckpoint(path, source);
  } catch (error) {
    closeWeights(source.weights);
    throw error;
  }
}

interface Source {
  config: Mamba2Config;
  weights: Weights;
  tokenizerFiles?(): Map<string, Uint8Array> | undefined;
}

class WeightFilesCheckpoint implements Checkpoint {
  readonly path: string;
  readonly config: Mamba2Config;
  readonly tensors: ReadonlyMap<string, LocatedTensor>;
  readonly #source: Source;
  /** Tensors that were read before, by name: they need no second check. */
  readonly #checked = new Set<string>();

  constructor(path: string, source: Source) {
    this.path = path;
    this.config = source.config;
    this.tensors = locateTensors(source.config, source.weights);
    this.#source = source;
  }

  read(name: string, target?: Float32Array): Float32Array {
    const tensor = this.tensors.get(name);
    if (!tensor) throw badInput("no such tensor", { file: this.path, field: printable(name) });
    const { range } = tensor;
    const type = ggmlTypeNamed(range.dtype)!;
    const values = target ?? new Float32Array(elementCount(tensor.shape));
    let done = 0;
    for (const piece of range.file.pieces(range.begin, range.end, type.bytes)) {
      const count = (piece.length / type.bytes) * type.elements;
      const part = values.subarray(done, done + count);
      decode(type, piece, part);
      if (tensor.negativeExp) undoNegativeExp(part, tensor);
      if (!this.#checked.has(name)) checkFinite(part, done, tensor);
      done += count;
    }
    this.#checked.add(name);
    return values;
  }

  tokenizerFiles(): Map<string, Uint8Array> | undefined {
    return this.#source.tokenizerFiles?.();
  }

  hash(): string {
    const hash = createHash("sha256");
    // JSON has no Infinity, and a time step limit may be one.
    hash.update(JSON.stringify(this.config, (_, value) => (value === Infinity ? "Infinity" : value)));
    const byName = this.#source.weights.files.toSorted((a, b) => (basename(a.path) < basename(b.path) ? -1 : 1));
    for (const file of byName) {
      hash.update(`\n${basename(file.path)} ${file.size}\n`);
      for (const piece of file.pieces(0, file.size)) hash.update(piece);
    }
    return hash.digest("hex");
  }

  close(): void {
    closeWeights(this.#source.weights);
  }
}

const EXPONENT_BITS = 0x7f80_0000;

/** @param first index of the first of them in the tensor */
function checkFinite(values: Float32Array, first: number, { file, sourceName }: LocatedTensor): void {
  // All exponent bits are set in NaN and infinities alone; on bits the check is several times as fast.
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & EXPONENT_BITS) === EXPONENT_BITS) {
      const detail = { file, field: `${sourceName}[${first + i}]`, expected: "a finite number", found: values[i]! };
      throw badInput("the tensor holds a value that is not finite", detail);
    }
  }
}

/** Back from A = -exp(A_log). What is not finite is left to checkFinite. */
function undoNegativeExp(values: Float32Array, { file, sourceName }: LocatedTensor): void {
  for (let i = 0; i < values.length; i++) {
    const a = values[i]!;
    if (a >= 0) {
      const detail = { file, field: `${sourceName}[${i}]`, expected: "a number below 0", found: a };
      throw badInput("the tensor holds a value that is out of range", detail);
    }
    values[i] = Math.log(-a);
  }
}
