/** A checkpoint to a model directory: fold, rotate, calibrate, round, pack. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import { InputFile } from "../checkpoint/file.ts";
import { openCheckpoint } from "../checkpoint/index.ts";
import { decodeUtf8 } from "../checkpoint/json.ts";
import { type SafetensorsTensor, writeSafetensors } from "../checkpoint/safetensors.ts";
import { fileSha256 } from "../checkpoint/sha256.ts";
import type { Checkpoint, Mamba2Config } from "../checkpoint/types.ts";
import { LightMambaError } from "../errors.ts";
import {
  type ActivationBits,
  type CalibrationRecord,
  checkLimits,
  configJson,
  descriptionJson,
  MODEL_FILES,
  type ModelDescription,
  type Rotation,
  type WeightRecipe,
} from "../model/description.ts";
import { HadamardTransform } from "../model/hadamard.ts";
import { modelTensors, tensorAlignment } from "../model/tensors.ts";
import { packageVersion } from "../package.ts";
import { type ReferenceWeights, weightsFromCheckpoint } from "../reference/index.ts";
import { checkTokenizer, hasTokenizer, loadTokenizer, TOKENIZER_FILES } from "../tokenizer/index.ts";
import { writeChecksums } from "../verify.ts";
import { type CalibrationText, calibrationIds } from "./calibrate.ts";
import { type InverseGamma, inverseGamma } from "./embedding.ts";
import { matrixCosts } from "./errors-by-layer.ts";
import { quantizeLayers, type RoundedModel } from "./layers.ts";
import { Pool } from "./pool.ts";
import { CALIBRATION_TOKENS, DEFAULT_RECIPE, type Recipe } from "./recipe.ts";
import { ResumeStore } from "./resume.ts";
import { fullRotation, noRotation } from "./rotate.ts";

export interface QuantizeOptions {
  /** UTF-8 text to calibrate on; by default the model samples its own. */
  calibrationFile?: string;
  /** Default 2,048 for rtn, 16,384 for gptq. */
  calibrationTokens?: number;
  /** Of the rotation's signs and of the sampled text. Default 0. */
  seed?: number;
  rotation?: Recipe["rotation"];
  smooth?: boolean;
  activationBits?: ActivationBits;
  stateBits?: 8 | 16;
  weights?: Partial<WeightRecipe>;
  /**
   * Nats per token on calibration text that the model may lose: the matrices that cost most get 8-bit codes until it
   * holds. An error when it cannot.
   */
  klBudget?: number;
  /** Default 2. The result does not depend on it. */
  threads?: number;
  /** Replace an existing output directory. */
  force?: boolean;
  /** A phase's share that is done; phases come one after another. */
  progress?(phase: string, done: number, total: number): void;
}

/** Calibration texts that the cost of a matrix is measured on. */
const WIDEN_TEXTS = 4;

export interface QuantizeResult {
  dir: string;
  description: ModelDescription;
  /** Bytes of model.safetensors. */
  bytes: number;
  /** KL to FP32 on calibration text, simulated in floating point, nats per token. */
  calibrationKl: number;
  /** What the user should know: a fallback of the rotation, say. */
  notes: string[];
}

/**
 * Quantizes the checkpoint in `source` to the directory `output`. Deterministic: the same checkpoint and options give the
 * same bytes. The directory appears when it is complete, or not at all; a run that was interrupted behind its first layer
 * leaves `<output>.resume`, from which the same call goes on.
 */
export async function quantizeCheckpoint(
  source: string,
  output: string,
  options: QuantizeOptions = {},
): Promise<QuantizeResult> {
  if (existsSync(output) && !options.force) {
    throw new LightMambaError("usage", "the output exists", { file: output, hint: "choose another name, or --force" });
  }
  refuseOverlap(source, output);
  const checkpoint = openCheckpoint(source);
  const partial = partialDirectory(output);
  let parent: string | undefined;
  let quantizer: Quantizer | undefined;
  const pool = new Pool(options.threads ?? 2);
  try {
    checkLimits(checkpoint.config, join(source, MODEL_FILES.config));
    parent = mkdirSync(dirname(partial), { recursive: true });
    mkdirSync(partial);
    quantizer = new Quantizer(checkpoint, output, options, pool);
    const result = await quantizer.write(partial);
    replaceDirectory(partial, output);
    return { ...result, dir: output };
  } finally {
    // Only a process that was ended leaves something to go on from: what failed would fail again.
    quantizer?.finish();
    pool.end();
    rmSync(partial, { recursive: true, force: true });
    if (parent !== undefined) removeEmpty(dirname(partial), parent);
    checkpoint.close();
  }
}

/** With --force, the checkpoint itself, or a folder around it, would be replaced. */
function refuseOverlap(source: string, output: string): void {
  const [from, to] = [existingPath(source), existingPath(output)];
  if (from !== to && !from.startsWith(`${to}${sep}`)) return;
  throw new LightMambaError("usage", "the output would replace the checkpoint", { file: output });
}

function existingPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : resolve(path);
}

/** Folders that were made for an output that did not come about, from the innermost to `outermost`. */
function removeEmpty(innermost: string, outermost: string): void {
  for (let folder = resolve(innermost); folder.startsWith(resolve(outermost)); folder = dirname(folder)) {
    if (!existsSync(folder) || readdirSync(folder).length > 0) return;
    rmdirSync(folder);
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
  readonly #recipe: Recipe;
  readonly #pool: Pool;
  readonly #store: ResumeStore;
  readonly #sourceSha256: string;
  readonly #notes: string[] = [];

  constructor(checkpoint: Checkpoint, output: string, options: QuantizeOptions, pool: Pool) {
    this.#checkpoint = checkpoint;
    this.#config = checkpoint.config;
    this.#options = options;
    this.#pool = pool;
    this.#recipe = {
      weights: { ...DEFAULT_RECIPE.weights, ...options.weights },
      activationBits: options.activationBits ?? DEFAULT_RECIPE.activationBits,
      stateBits: options.stateBits ?? DEFAULT_RECIPE.stateBits,
      rotation: options.rotation ?? DEFAULT_RECIPE.rotation,
      smooth: options.smooth ?? DEFAULT_RECIPE.smooth,
    };
    if (this.#recipe.smooth && this.#recipe.rotation !== "off") {
      throw new LightMambaError("usage", "SmoothQuant works on channels, and a rotation mixes them", {
        hint: "--smooth goes with --rotation off",
      });
    }
    this.#sourceSha256 = checkpoint.hash();
    const { threads, progress, force, ...result } = options;
    this.#store = new ResumeStore(output, [packageVersion(), this.#sourceSha256, result, calibrationHash(options)]);
  }

  /** Nothing is left to resume. */
  finish(): void {
    this.#store.clear();
  }

  async write(dir: string): Promise<Omit<QuantizeResult, "dir">> {
    this.#copyTokenizer(dir);
    const { seed = 0 } = this.#options;
    const plain = weightsFromCheckpoint(this.#checkpoint);
    const calibration = await this.#calibration(dir, plain, seed);
    this.#store.keepCalibration(calibration.ids);
    const rounded = await this.#rounded(plain, calibration, seed);
    const weightsFile = join(dir, MODEL_FILES.weights);
    writeSafetensors(weightsFile, this.#tensors(rounded, plain.finalNorm), { align: 64 });
    const description = this.#describe(rounded, calibration.record, weightsFile);
    writeFileSync(join(dir, MODEL_FILES.description), descriptionJson(description));
    writeFileSync(join(dir, MODEL_FILES.config), configJson(this.#config));
    writeChecksums(dir);
    const bytes = statSync(weightsFile).size;
    return { description, bytes, calibrationKl: rounded.calibrationKl, notes: this.#notes };
  }

  #describe(rounded: RoundedModel, calibration: CalibrationRecord, weightsFile: string): ModelDescription {
    const { rotation, residualFraction, fractions, errors, embeddingFraction } = rounded;
    return {
      generator: `lightmamba ${packageVersion()}`,
      weights: this.#recipe.weights,
      activationBits: this.#recipe.activationBits,
      stateBits: this.#recipe.stateBits,
      rotation,
      embeddingFraction,
      vocabUsed: this.#config.vocabUsed,
      residualFraction,
      layers: fractions,
      calibration,
      errors,
      sourceSha256: this.#sourceSha256,
      weightsSha256: fileSha256(weightsFile),
    };
  }

  async #calibration(dir: string, { embedding, lmHead }: ReferenceWeights, seed: number) {
    const { calibrationFile, calibrationTokens, progress } = this.#options;
    const text = calibrationFile === undefined ? undefined : readTextFile(calibrationFile);
    const tables = { embedding, lmHead };
    return calibrationIds(this.#pool, this.#checkpoint, tables, {
      ids: text === undefined ? undefined : Int32Array.from(loadTokenizer(dir).encode(text)),
      sampled: this.#store.calibration(),
      tokens: calibrationTokens ?? CALIBRATION_TOKENS[this.#recipe.weights.method],
      seed,
      progress: (done, total) => progress?.("sampling calibration text", done, total),
    });
  }

  async #rounded(plain: ReferenceWeights, calibration: CalibrationText, seed: number): Promise<RoundedModel> {
    const { klBudget } = this.#options;
    let rounded = await this.#roundedOnce(plain, calibration, seed, 0);
    for (let attempt = 1; klBudget !== undefined && rounded.calibrationKl > klBudget; attempt++) {
      this.#widen(plain, rounded, calibration, klBudget);
      rounded = await this.#roundedOnce(plain, calibration, seed, attempt);
    }
    return rounded;
  }

  /** Gives 8 bits to the costliest matrices: as many as should close the gap, by what each costs alone. */
  #widen(plain: ReferenceWeights, rounded: RoundedModel, { ids, length }: CalibrationText, budget: number): void {
    const { weights, activationBits } = this.#recipe;
    const read = (name: string) => bytesOf(rounded.tensors.get(name)!);
    const model = { rotation: rounded.rotation, weights, layers: rounded.fractions, read };
    const sample = ids.subarray(Math.max(0, ids.length - WIDEN_TEXTS * length));
    const costs = matrixCosts(plain, model, sample, (done, total) =>
      this.#options.progress?.("measuring matrices", done, total),
    );
    const narrow = [...costs].filter(([name]) => !weights.wide.includes(name)).sort(([, a], [, b]) => b - a);
    if (narrow.length === 0) {
      throw new LightMambaError("unsupported", "the KL budget cannot be held, even with 8-bit weights", {
        expected: budget,
        found: rounded.calibrationKl.toFixed(5),
        hint: activationBits < 8 ? "more activation bits: --activation-bits 8" : "a larger budget",
      });
    }
    let gap = rounded.calibrationKl - budget;
    const chosen: string[] = [];
    for (const [name, cost] of narrow) {
      if (gap <= 0 && chosen.length > 0) break;
      chosen.push(name);
      gap -= cost;
    }
    weights.wide = [...weights.wide, ...chosen];
    this.#notes.push(`8-bit codes for ${chosen.join(", ")}: KL was ${rounded.calibrationKl.toFixed(5)}`);
  }

  /** With rotation auto, the whole model is rounded in both bases of the residual stream, and the nearer one stays. */
  async #roundedOnce(
    plain: ReferenceWeights,
    calibration: CalibrationText,
    seed: number,
    attempt: number,
  ): Promise<RoundedModel> {
    const { dModel, dInner } = this.#config;
    const { progress } = this.#options;
    const full = fullRotation(dModel, dInner, seed);
    const none = noRotation(dModel, dInner);
    const round = (rotation: Rotation, chooseInner: boolean, pass: string) =>
      quantizeLayers(this.#pool, plain, {
        inverseGamma: this.#tiedEmbedding(plain, rotation),
        store: this.#store,
        pass: `${attempt}-${pass}`,
        recipe: this.#recipe,
        rotation,
        chooseInner,
        ...calibration,
        ...(progress && { progress }),
      });
    if (this.#recipe.rotation === "off") return round(none, false, "plain");
    this.#noteBlocks(full);
    if (this.#recipe.rotation === "on") return round(full, false, "rotated");
    const rotated = await round(full, true, "rotated");
    const unrotated = await round({ ...none, inner: full.inner }, true, "plain");
    return rotated.calibrationKl <= unrotated.calibrationKl ? rotated : unrotated;
  }

  /** A tied checkpoint with an 8-bit head needs no table for its embedding. */
  #tiedEmbedding(plain: ReferenceWeights, rotation: Rotation): InverseGamma | undefined {
    const { weights } = this.#recipe;
    const tied = this.#config.tieEmbeddings && weights.wide.includes("lm_head");
    const { unit } = new HadamardTransform(rotation.residual);
    const inverse = tied ? inverseGamma(plain.finalNorm, unit) : undefined;
    weights.embedding = inverse ? "head" : "codes";
    return inverse;
  }

  #noteBlocks({ residual, inner }: Rotation): void {
    const { dModel, dInner } = this.#config;
    for (const [what, { blocks }, size] of [
      ["d_model", residual, dModel],
      ["d_inner", inner, dInner],
    ] as const) {
      const note = `${what} = ${size} has no full Hadamard transform: rotated in ${blocks} blocks`;
      if (blocks > 1 && !this.#notes.includes(note)) this.#notes.push(note);
    }
  }

  #tensors({ tensors }: RoundedModel, finalNorm: Float32Array): SafetensorsTensor[] {
    return [...modelTensors(this.#config, this.#recipe.weights)].map(([name, spec]) => {
      const view = name === "final_norm" ? finalNorm : tensors.get(name)!;
      return { name, ...spec, data: bytesOf(view), align: tensorAlignment(name) };
    });
  }

  /** The checkpoint's tokenizer into the model's directory: first of all, since one that does not fit ends everything. */
  #copyTokenizer(dir: string): void {
    const carried = this.#checkpoint.tokenizerFiles?.();
    for (const [name, bytes] of carried ?? []) writeFileSync(join(dir, name), bytes);
    for (const name of [...TOKENIZER_FILES, GENERATION_CONFIG]) {
      const file = join(this.#checkpoint.path, name);
      if (carried === undefined && existsSync(file)) copyFileSync(file, join(dir, name));
    }
    if (hasTokenizer(dir)) checkTokenizer(loadTokenizer(dir), this.#config.vocabUsed);
    else this.#notes.push("the checkpoint has no tokenizer: the model takes token ids only");
  }
}

const GENERATION_CONFIG = "generation_config.json";

/** A calibration file may change under the same name. */
function calibrationHash({ calibrationFile }: QuantizeOptions): string {
  return calibrationFile === undefined ? "" : fileSha256(calibrationFile);
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function readTextFile(path: string): string {
  const file = InputFile.open(path);
  try {
    return decodeUtf8(file.read(0, file.size), path);
  } finally {
    file.close();
  }
}
