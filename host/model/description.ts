/** quantization.json: what a model directory holds beyond its weights (docs/format.md). */
import { join } from "node:path";
import { MAX_K, MAX_STATE, MAX_VOCAB } from "../../assembly/contract.ts";
import { plainConfig } from "../checkpoint/config-huggingface.ts";
import { Fields } from "../checkpoint/fields.ts";
import { exists } from "../checkpoint/file.ts";
import { readJsonObject } from "../checkpoint/json.ts";
import type { Mamba2Config } from "../checkpoint/types.ts";
import { badInput, LightMambaError } from "../errors.ts";
import { type HadamardShape, hasHadamard } from "./hadamard.ts";

export const FORMAT = "lightmamba";
/** Raised when a reader of the older version would compute other bits, or fail. */
export const FORMAT_VERSION = 1;

export const MODEL_FILES = {
  config: "config.json",
  description: "quantization.json",
  weights: "model.safetensors",
} as const;

/** Fraction bits of a layer, in the order of the runtime's setFractions. */
export interface Fractions {
  z: number;
  x: number;
  B: number;
  C: number;
  dt: number;
  conv: number;
  xs: number;
  Bs: number;
  Cs: number;
  skip: number;
  zs: number;
  g: number;
  gamma: number;
  u: number;
}

/** Smallest and largest value of each that the arithmetic supports: what the loader accepts. */
export const FRACTION_RANGES: Record<keyof Fractions, [low: number, high: number]> = {
  z: [-4, 24],
  x: [-4, 24],
  B: [-4, 24],
  C: [-4, 24],
  dt: [-4, 24],
  conv: [-4, 24],
  xs: [0, 16],
  Bs: [0, 16],
  Cs: [0, 16],
  skip: [-4, 24],
  zs: [0, 16],
  g: [-4, 30],
  gamma: [-4, 24],
  u: [-4, 30],
};

/** What was rotated and how: docs/numerics.md section 6. */
export interface Rotation {
  /** Of the residual stream, and the seed of its signs. */
  residual: HadamardShape;
  signSeed: number;
  /** Of the vector before out_proj, run online. */
  inner: HadamardShape;
  /** Layers whose vector before out_proj is left as it is. */
  unrotated: number[];
}

export const EMBEDDING_FRACTION_RANGE: [low: number, high: number] = [0, 30];

/** Where the static formats come from. */
export interface CalibrationRecord {
  source: "sampled" | "file";
  tokens: number;
  seed: number;
  /** Of the token ids, as little-endian int32. */
  sha256: string;
}

/** Signal-to-noise of the rounded weights in dB. */
export interface LayerError {
  inProjDb: number;
  outProjDb: number;
}

/** 4: codes with zero points in groups of 16; 5, 6: symmetric in groups of 32; 8: one scale a vector. */
export type ActivationBits = 4 | 5 | 6 | 8;

/** How the weights were made. All are read alike. */
export interface WeightRecipe {
  /** Rounded to nearest, or with error feedback and the inputs of the quantized model. */
  method: "rtn" | "gptq";
  /** Matrices with 8-bit codes, by name: `lm_head`, `layers.3.in_proj`, … */
  wide: string[];
  /** Inputs that share a scale; stored once per 32, or once per 16. */
  group: 16 | 32 | 64 | 128;
  /** Rows of their own, or those of an 8-bit lm_head of a tied checkpoint, turned back: no table at all. */
  embedding: "codes" | "head";
  /** Scales that are powers of two only, as in the paper's hardware. */
  powerOfTwoScales: boolean;
}

export interface ModelDescription {
  generator: string;
  weights: WeightRecipe;
  activationBits: ActivationBits;
  stateBits: 8 | 16;
  rotation: Rotation;
  /** Fraction bits of embedding.inverse_gamma; 0 where there is none. */
  embeddingFraction: number;
  /** Rows of the vocabulary that stand for tokens. */
  vocabUsed: number;
  residualFraction: number;
  layers: Fractions[];
  calibration: CalibrationRecord;
  errors: { layers: LayerError[]; headDb: number };
  /** SHA-256 of the checkpoint it was made from, and of model.safetensors. */
  sourceSha256: string;
  weightsSha256: string;
}

/** A model directory without its weights. */
export interface ModelHeader {
  dir: string;
  config: Mamba2Config;
  description: ModelDescription;
}

export function readModelHeader(dir: string): ModelHeader {
  const path = join(dir, MODEL_FILES.description);
  if (!exists(path)) {
    throw badInput("not a model directory", {
      file: dir,
      expected: `a directory with ${Object.values(MODEL_FILES).join(", ")}`,
      hint: "make one with: lightmamba quantize <checkpoint> -o <dir>",
    });
  }
  const config = readConfig(join(dir, MODEL_FILES.config));
  const fields = new Fields(path, readJsonObject(path));
  checkFormat(fields);
  const description = parseDescription(fields, config);
  return { dir, config: { ...config, vocabUsed: description.vocabUsed }, description };
}

function readConfig(path: string): Mamba2Config {
  const fields = new Fields(path, readJsonObject(path));
  if (fields.get("model_type") !== "mamba2") throw fields.error("model_type", '"mamba2"');
  const config = plainConfig(fields);
  checkLimits(config, path);
  return config;
}

/** The sizes every container of the contract holds. */
export function checkLimits(config: Mamba2Config, file: string): void {
  const limits: [name: string, found: number, most: number][] = [
    ["hidden_size", config.dModel, MAX_K],
    ["d_inner", config.dInner, MAX_K],
    ["state_size", config.dState, MAX_STATE],
    ["vocab_size", config.vocabSize, MAX_VOCAB],
  ];
  for (const [field, found, most] of limits) {
    if (found <= most) continue;
    throw new LightMambaError("unsupported", "the model is larger than the contract", {
      file,
      field,
      expected: `at most ${most}`,
      found,
    });
  }
}

function checkFormat(fields: Fields): void {
  if (fields.get("format") !== FORMAT) throw fields.error("format", `"${FORMAT}"`);
  const version = fields.integer("format_version", [0, 2 ** 31]);
  if (version === FORMAT_VERSION) return;
  throw new LightMambaError("unsupported", "another version of the format", {
    file: fields.file,
    field: "format_version",
    expected: FORMAT_VERSION,
    found: version,
    hint: "quantize the checkpoint again, or use the lightmamba that wrote it",
  });
}

function parseDescription(fields: Fields, config: Mamba2Config): ModelDescription {
  const only = <T>(key: string, ...allowed: T[]): T => {
    const value = fields.get(key) as T | undefined;
    if (value === undefined || !allowed.includes(value)) throw fields.error(key, allowed.join(" or "));
    return value;
  };
  const text = (from: Fields, key: string): string => {
    const value = from.get(key);
    if (typeof value !== "string") throw from.error(key, "a text");
    return value;
  };
  const calibration = fields.nested("calibration");
  const rotation = fields.nested("rotation");
  return {
    generator: text(fields, "generator"),
    weights: {
      method: only("method", "rtn", "gptq"),
      wide: parseWide(fields, config.nLayers),
      group: only("weight_group", 16, 32, 64, 128),
      embedding: parseEmbedding(fields, config),
      powerOfTwoScales: fields.boolean("power_of_two_scales", false),
    },
    embeddingFraction: fields.integer("embedding_fraction", EMBEDDING_FRACTION_RANGE),
    activationBits: only("activation_bits", 4, 5, 6, 8),
    stateBits: only("state_bits", 8, 16),
    rotation: {
      residual: parseHadamard(rotation.nested("residual"), config.dModel),
      signSeed: rotation.integer("sign_seed", [0, 2 ** 32 - 1]),
      inner: parseHadamard(rotation.nested("inner"), config.dInner),
      unrotated: parseIndices(rotation, "unrotated", config.nLayers),
    },
    vocabUsed: fields.integer("vocab_used", [1, config.vocabSize]),
    residualFraction: fields.integer("residual_fraction", [0, 16]),
    layers: parseLayers(fields, config.nLayers),
    calibration: {
      source: text(calibration, "source") === "file" ? "file" : "sampled",
      tokens: calibration.integer("tokens", [1, 2 ** 40]),
      seed: calibration.integer("seed", [0, 2 ** 32 - 1]),
      sha256: text(calibration, "sha256"),
    },
    errors: parseErrors(fields.nested("errors"), config.nLayers),
    sourceSha256: text(fields, "source_sha256"),
    weightsSha256: text(fields, "weights_sha256"),
  };
}

/** Rows out of the head need a tied one, with both planes of its codes. */
function parseEmbedding(fields: Fields, config: Mamba2Config): WeightRecipe["embedding"] {
  const value = fields.get("embedding");
  if (value === "codes") return value;
  const possible = config.tieEmbeddings && parseWide(fields, config.nLayers).includes("lm_head");
  if (value !== "head" || !possible) {
    throw fields.error("embedding", possible ? "codes or head" : "codes, without a tied lm_head of 8 bits");
  }
  return value;
}

function parseWide(fields: Fields, layers: number): string[] {
  const list = fields.get("eight_bit_matrices");
  const names = new Set(matrixNames(layers));
  const known = (value: unknown) => typeof value === "string" && names.has(value);
  if (!Array.isArray(list) || !list.every(known)) throw fields.error("eight_bit_matrices", "names of matrices");
  return list as string[];
}

/** The quantized matrices of a model, in the order of a token's way. */
export function matrixNames(layers: number): string[] {
  const names = Array.from({ length: layers }, (_, i) => [`layers.${i}.in_proj`, `layers.${i}.out_proj`]);
  return [...names.flat(), "lm_head"];
}

function parseIndices(fields: Fields, key: string, count: number): number[] {
  const list = fields.get(key);
  const isIndex = (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < count;
  if (!Array.isArray(list) || !list.every(isIndex)) throw fields.error(key, `layers from 0 to ${count - 1}`);
  return list as number[];
}

function parseErrors(fields: Fields, count: number): ModelDescription["errors"] {
  return {
    headDb: fields.number("head_db"),
    layers: Array.from({ length: count }, (_, i) => {
      const layer = fields.item("layers", i);
      return { inProjDb: layer.number("in_proj_db"), outProjDb: layer.number("out_proj_db") };
    }),
  };
}

function parseHadamard(fields: Fields, size: number): HadamardShape {
  const shape = {
    blocks: fields.integer("blocks", [1, size]),
    order: fields.integer("order", [1, 256]),
    log2: fields.integer("log2", [0, 16]),
  };
  if (shape.blocks * shape.order * 2 ** shape.log2 !== size) throw fields.error("blocks", `a product of ${size}`);
  if (!hasHadamard(shape.order)) throw fields.error("order", "the order of a Hadamard matrix that is built in");
  return shape;
}

function parseLayers(fields: Fields, count: number): Fractions[] {
  const layers = fields.get("layers");
  if (!Array.isArray(layers) || layers.length !== count) throw fields.error("layers", `a list of ${count}`);
  return layers.map((_, i) => {
    const layer = fields.item("layers", i);
    const names = Object.keys(FRACTION_RANGES) as (keyof Fractions)[];
    return Object.fromEntries(
      names.map((name) => [name, layer.integer(name, FRACTION_RANGES[name])]),
    ) as unknown as Fractions;
  });
}

export function descriptionJson(description: ModelDescription): string {
  const { rotation, weights } = description;
  const json = {
    format: FORMAT,
    format_version: FORMAT_VERSION,
    generator: description.generator,
    method: weights.method,
    weight_bits: 4,
    weight_group: weights.group,
    power_of_two_scales: weights.powerOfTwoScales,
    activation_bits: description.activationBits,
    eight_bit_matrices: weights.wide,
    embedding: weights.embedding,
    embedding_fraction: description.embeddingFraction,
    state_bits: description.stateBits,
    state_group: 16,
    rotation: {
      residual: rotation.residual,
      sign_seed: rotation.signSeed,
      inner: rotation.inner,
      unrotated: rotation.unrotated,
    },
    vocab_used: description.vocabUsed,
    residual_fraction: description.residualFraction,
    layers: description.layers,
    calibration: description.calibration,
    errors: {
      head_db: round2(description.errors.headDb),
      layers: description.errors.layers.map(({ inProjDb, outProjDb }) => ({
        in_proj_db: round2(inProjDb),
        out_proj_db: round2(outProjDb),
      })),
    },
    source_sha256: description.sourceSha256,
    weights_sha256: description.weightsSha256,
  };
  return `${JSON.stringify(json, undefined, 1)}\n`;
}

/** Decibels for people: hundredths are more than enough. JSON has no Infinity, which is what an exact matrix has. */
function round2(value: number): number {
  return Math.round(Math.min(value, 999) * 100) / 100;
}

/** config.json in Hugging Face's terms; `quantization_config` tells other tools that the weights are not plain. */
export function configJson(config: Mamba2Config): string {
  const [low, high] = config.timeStepLimit;
  const json = {
    architectures: ["Mamba2ForCausalLM"],
    model_type: "mamba2",
    quantization_config: { quant_method: FORMAT, bits: 4 },
    hidden_size: config.dModel,
    num_hidden_layers: config.nLayers,
    num_heads: config.nHeads,
    head_dim: config.headDim,
    state_size: config.dState,
    n_groups: config.nGroups,
    conv_kernel: config.convWidth,
    expand: config.dInner / config.dModel,
    vocab_size: config.vocabSize,
    layer_norm_epsilon: config.normEps,
    time_step_limit: [low, Number.isFinite(high) ? high : { __float__: "Infinity" }],
    use_bias: config.useBias,
    use_conv_bias: config.useConvBias,
    tie_word_embeddings: config.tieEmbeddings,
    bos_token_id: config.bosTokenId ?? null,
    eos_token_id: config.eosTokenIds,
  };
  return `${JSON.stringify(json, undefined, 1)}\n`;
}
