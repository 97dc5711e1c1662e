/** A checkpoint to a model directory: fold, rotate, calibrate, round, pack. */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { InputFile } from "../checkpoint/file.ts";
import { openCheckpoint } from "../checkpoint/index.ts";
import { type SafetensorsTensor, writeSafetensors } from "../checkpoint/safetensors.ts";
import type { Checkpoint, Mamba2Config } from "../checkpoint/types.ts";
import { LightMambaError } from "../errors.ts";
import {
  checkLimits,
  configJson,
  descriptionJson,
  type Fractions,
  type LayerError,
  MODEL_FILES,
  type ModelDescription,
} from "../model/description.ts";
import { inProjOrder, pack, plainOrder, type RowOrder } from "../model/frames.ts";
import { HadamardTransform } from "../model/hadamard.ts";
import { modelTensors, TENSOR_ALIGNMENT } from "../model/tensors.ts";
import { packageVersion } from "../package.ts";
import { type ReferenceLayer, type ReferenceWeights, weightsFromCheckpoint } from "../reference/index.ts";
import { checkTokenizer, hasTokenizer, loadTokenizer, TOKENIZER_FILES } from "../tokenizer/index.ts";
import { calibrate } from "./calibrate.ts";
import { layerConstants } from "./constants.ts";
import { quantizeEmbedding } from "./embedding.ts";
import { chooseFractions, residualFraction } from "./fractions.ts";
import { fullRotation, noRotation, rotateWeights } from "./rotate.ts";
import { dequantize, roundToNearest, signalToNoise } from "./round.ts";

export interface QuantizeOptions {
  /** UTF-8 text to calibrate on; by default the model samples its own. */
  calibrationFile?: string;
  /** Default 2048. */
  calibrationTokens?: number;
  /** Of the rotation's signs and of the sampled text. Default 0. */
  seed?: number;
  /** Default true. */
  rotation?: boolean;
  /** 4: zero points in groups of 16 (default); 8: one scale a vector. */
  activationBits?: 4 | 8;
  /** Replace an existing output directory. */
  force?: boolean;
  /** A phase's share that is done; phases come one after another. */
  progress?(phase: string, done: number, total: number): void;
}

export interface QuantizeResult {
  dir: string;
  description: ModelDescription;
  /** Bytes of model.safetensors. */
  bytes: number;
  /** What the user should know: a fallback of the rotation, say. */
  notes: string[];
}

/**
 * Quantizes the checkpoint in `source` to the directory `output`. Deterministic: the same checkpoint and options give the
 * same bytes. The directory appears when it is complete, or not at all.
 */
export function quantizeCheckpoint(source: string, output: string, options: QuantizeOptions = {}): QuantizeResult {
  if (existsSync(output) && !options.force) {
    throw new LightMambaError("usage", "the output exists", { file: output, hint: "choose another name, or --force" });
  }
  const checkpoint = openCheckpoint(source);
  const partial = partialDirectory(output);
  try {
    checkLimits(checkpoint.config, join(source, MODEL_FILES.config));
    mkdirSync(dirname(partial), { recursive: true });
    mkdirSync(partial);
    const result = new Quantizer(checkpoint, options).write(partial);
    replaceDirectory(partial, output);
    return { ...result, dir: output };
  } finally {
    rmSync(partial, { recursive: true, force: true });
    checkpoint.close();
  }
}

/** Where a model is written before it is complete: one name per process, so that an interrupted one can be removed. */
function partialDirectory(output: string): string {
  return `${output}.${process.pid}.tmp`;
}

/** For whoever ends the process in the middle of quantizeCheckpoint. */
export function removePartial(output: string): void {
  rmSync(partialDirectory(output), { recursive: true, force: true });
}

/** The old directory goes once the new one is in its place. */
function replaceDirectory(from: string, to: string): void {
  const old = `${from}.old`;
  const replaced = existsSync(to);
  if (replaced) renameSync(to, old);
  renameSync(from, to);
  if (replaced) rmSync(old, { recursive: true, force: true });
}

class Quantizer {
  readonly #checkpoint: Checkpoint;
  readonly #config: Mamba2Config;
  readonly #options: QuantizeOptions;
  readonly #orders: { inProj: RowOrder; outProj: RowOrder; head: RowOrder };
  readonly #notes: string[] = [];

  constructor(checkpoint: Checkpoint, options: QuantizeOptions) {
    this.#checkpoint = checkpoint;
    this.#config = checkpoint.config;
    this.#options = options;
    this.#orders = {
      inProj: inProjOrder(this.#config),
      outProj: plainOrder(this.#config.dModel),
      head: plainOrder(this.#config.vocabSize),
    };
  }

  write(dir: string): Omit<QuantizeResult, "dir"> {
    const { seed = 0, calibrationTokens = 2048 } = this.#options;
    const plain = weightsFromCheckpoint(this.#checkpoint);
    const calibration = calibrate(plain, {
      ids: this.#calibrationIds(),
      tokens: calibrationTokens,
      seed,
      ...(this.#options.progress && { progress: this.#options.progress }),
    });
    const rotation = this.#rotation(seed);
    const rotated = rotateWeights(plain, rotation);
    const fr = residualFraction(calibration.maxima);
    const fractions: Fractions[] = [];
    const errors: ModelDescription["errors"] = { layers: [], headDb: 0 };
    const layer = (i: number) => {
      const weights = rotated.layer(i);
      fractions[i] = chooseFractions(this.#config, weights, calibration.maxima[i]!, i);
      return this.#layerTensors(
        i,
        weights,
        fractions[i]!,
        fr,
        new HadamardTransform(rotation.inner).unit,
        errors.layers,
      );
    };
    const weightsFile = join(dir, MODEL_FILES.weights);
    writeSafetensors(weightsFile, this.#tensors(rotated, plain.finalNorm, layer, errors), { align: TENSOR_ALIGNMENT });
    const description: ModelDescription = {
      generator: `lightmamba ${packageVersion()}`,
      method: "rtn",
      activationBits: this.#options.activationBits ?? 4,
      headBits: 4,
      stateBits: 8,
      rotation,
      vocabUsed: this.#config.vocabUsed,
      residualFraction: fr,
      layers: fractions,
      calibration: calibration.record,
      errors,
      sourceSha256: this.#checkpoint.hash(),
      weightsSha256: fileSha256(weightsFile),
    };
    writeFileSync(join(dir, MODEL_FILES.description), descriptionJson(description));
    writeFileSync(join(dir, MODEL_FILES.config), configJson(this.#config));
    this.#copyTokenizer(dir);
    return { description, bytes: statSync(weightsFile).size, notes: this.#notes };
  }

  #calibrationIds(): Int32Array | undefined {
    const { calibrationFile } = this.#options;
    if (calibrationFile === undefined) return undefined;
    const text = readFileSync(calibrationFile, "utf8");
    return Int32Array.from(loadTokenizer(this.#checkpoint.path).encode(text));
  }

  #rotation(seed: number): ModelDescription["rotation"] {
    const { dModel, dInner } = this.#config;
    if (this.#options.rotation === false) return noRotation(dModel, dInner);
    const rotation = fullRotation(dModel, dInner, seed);
    for (const [what, { blocks }, size] of [
      ["d_model", rotation.residual, dModel],
      ["d_inner", rotation.inner, dInner],
    ] as const) {
      if (blocks > 1) this.#notes.push(`${what} = ${size} has no full Hadamard transform: rotated in ${blocks} blocks`);
    }
    return rotation;
  }

  /** Every tensor in the order of the file, data made when its turn comes; a layer is rounded once and dropped after its last tensor. */
  *#tensors(
    rotated: ReferenceWeights,
    finalNorm: Float32Array,
    layer: (i: number) => Map<string, ArrayBufferView>,
    errors: ModelDescription["errors"],
  ): Iterable<SafetensorsTensor> {
    const { nLayers, vocabSize, dModel } = this.#config;
    const total = nLayers + 2;
    const progress = (done: number) => this.#options.progress?.("rounding weights", done, total);
    const made = new Map<string, Map<string, ArrayBufferView>>();
    const make = (part: string): Map<string, ArrayBufferView> => {
      if (part.startsWith("layers.")) {
        const i = Number(part.slice("layers.".length));
        progress(i + 1);
        return layer(i);
      }
      if (part === "embedding") {
        progress(0);
        return new Map(Object.entries(quantizeEmbedding(rotated.embedding, vocabSize, dModel)));
      }
      if (part === "final_norm") return new Map([["", finalNorm]]);
      progress(total - 1);
      const matrix = roundToNearest(rotated.lmHead, vocabSize, dModel);
      errors.headDb = signalToNoise(rotated.lmHead, dequantize(matrix));
      return matrixTensors("", pack(matrix, this.#orders.head));
    };
    for (const [name, spec] of modelTensors(this.#config)) {
      const [part, rest] = splitName(name);
      yield {
        name,
        ...spec,
        data: () => {
          if (!made.has(part)) {
            made.clear();
            made.set(part, make(part));
          }
          const view = made.get(part)!.get(rest)!;
          return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
        },
      };
    }
  }

  #layerTensors(
    index: number,
    layer: ReferenceLayer,
    fractions: Fractions,
    fr: number,
    innerUnit: number,
    errors: LayerError[],
  ): Map<string, ArrayBufferView> {
    const { dModel, dInner } = this.#config;
    const inProj = roundToNearest(layer.inProj, layer.inProj.length / dModel, dModel);
    // The HTU does not normalise: its factor is in the weights.
    const outWeights = layer.outProj.map((value) => value * innerUnit);
    const outProj = roundToNearest(outWeights, dModel, dInner);
    errors[index] = {
      inProjDb: signalToNoise(layer.inProj, dequantize(inProj)),
      outProjDb: signalToNoise(outWeights, dequantize(outProj)),
    };
    const constants = layerConstants(this.#config, layer, fractions, this.#orders, fr);
    return new Map<string, ArrayBufferView>([
      ...matrixTensors("in_proj.", pack(inProj, this.#orders.inProj)),
      ...matrixTensors("out_proj.", pack(outProj, this.#orders.outProj)),
      ["in_proj.bias", constants.inProjBias ?? new Int32Array(0)],
      ["out_proj.bias", constants.outProjBias ?? new Int32Array(0)],
      ["conv.weight", constants.convWeight],
      ["conv.bias", constants.convBias],
      ["decay", constants.decay],
      ["decay_shift", constants.decayShift],
      ["dt_bias", constants.dtBias],
      ["skip", constants.skip],
      ["gate_norm", constants.gateNorm],
    ]);
  }

  #copyTokenizer(dir: string): void {
    const source = this.#checkpoint.path;
    if (!hasTokenizer(source)) {
      this.#notes.push("the checkpoint has no tokenizer.json: the model takes token ids only");
      return;
    }
    checkTokenizer(loadTokenizer(source), this.#config.vocabUsed);
    for (const name of [...TOKENIZER_FILES, "generation_config.json"]) {
      if (existsSync(join(source, name))) copyFileSync(join(source, name), join(dir, name));
    }
  }
}

function matrixTensors(prefix: string, packed: ReturnType<typeof pack>): Map<string, ArrayBufferView> {
  return new Map<string, ArrayBufferView>([
    [`${prefix}frames`, packed.frames],
    [`${prefix}row_exponent`, packed.rowExponents],
  ]);
}

/** `layers.3.conv.bias` → layers.3, conv.bias. */
function splitName(name: string): [part: string, rest: string] {
  const depth = name.startsWith("layers.") ? 2 : 1;
  const parts = name.split(".");
  return [parts.slice(0, depth).join("."), parts.slice(depth).join(".")];
}

function fileSha256(path: string): string {
  const file = InputFile.open(path);
  const hash = createHash("sha256");
  for (const piece of file.pieces(0, file.size)) hash.update(piece);
  file.close();
  return hash.digest("hex");
}
