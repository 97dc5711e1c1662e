/** Model directories from models of the oracle and back, and the runtime opened far enough to see its integers. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type SafetensorsDtype, SafetensorsFile, writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import type { Mamba2Config } from "../../host/checkpoint/types.ts";
import {
  type ActivationBits,
  configJson,
  descriptionJson,
  type Fractions,
  MODEL_FILES,
  type ModelDescription,
  type ModelHeader,
  readModelHeader,
  type WeightRecipe,
} from "../../host/model/description.ts";
import { inProjOrder, type PackedMatrix, plainOrder, type RowOrder, unpack } from "../../host/model/frames.ts";
import { modelTensors, tensorAlignment, type WeightFormat } from "../../host/model/tensors.ts";
import { quantizeCheckpoint } from "../../host/quantize/index.ts";
import { instantiate, usableVariants, type Variant } from "../../host/runtime/engine.ts";
import { loadWeights } from "../../host/runtime/load.ts";
import { Session } from "../../host/runtime/session.ts";
import { type HadamardShape, hadamardSigns } from "../oracle/hadamard.ts";
import type { OracleLinear } from "../oracle/mmu.ts";
import type { OracleLayer, OracleModel } from "../oracle/model.ts";
import { codeFraction } from "../oracle/nqu.ts";
import { rootOf } from "../oracle/tables.ts";
import { linearFrom, packLinear } from "../units/linear.ts";

export const VARIANTS: readonly Variant[] = usableVariants();
/** That of the oracle's random models. */
const EPSILON = 1e-5;

const root = mkdtempSync(join(tmpdir(), "lightmamba-runtime-"));
after(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;

/** A path for this test file alone. */
export function newPath(): string {
  return join(root, String(directories++));
}

export function emptyDirectory(): string {
  const path = newPath();
  mkdirSync(path);
  return path;
}

/** models/tiny quantized, with little calibration. */
export async function quantizedTiny(
  activationBits: ActivationBits,
  format: { wide?: string[]; group?: WeightRecipe["group"]; stateBits?: 8 | 16 } = {},
): Promise<string> {
  const source = join(import.meta.dirname, "../../models/tiny");
  const { wide = [], group = 32, stateBits = 8 } = format;
  const weights = { method: "rtn", wide, group } as const;
  return (await quantizeCheckpoint(source, newPath(), { calibrationTokens: 32, activationBits, stateBits, weights }))
    .dir;
}

/** The runtime with a model in it, as Model.load has it, with its memory in view. */
export function openRuntime(dir: string, variant: Variant) {
  const header = readModelHeader(dir);
  const engine = instantiate(variant);
  loadWeights(engine, header);
  const { vocabSize, vocabUsed, dModel, nLayers: layers } = header.config;
  const modelId = header.description.weightsSha256;
  const session = new Session({ engine, vocabSize, vocabUsed, layers, modelId, free: [] });
  const view = (at: number, length: number) => new Int32Array(engine.memory.buffer, at, length);
  return {
    engine,
    session,
    logits: () => view(engine.exports.logitsAt(), vocabSize),
    residual: () => view(engine.exports.residualAt(), dModel),
  };
}

// ------------------------------------------------------------------------------------- oracle → directory

/** The fraction bits among a layer's fields. */
type Fixed = Pick<
  OracleLayer,
  "fz" | "fx" | "fB" | "fC" | "fdt" | "fw" | "fxs" | "fBs" | "fCs" | "fD" | "fzs" | "fg" | "fGamma" | "fu"
>;

const FRACTION_NAMES: Record<keyof Fractions, keyof Fixed> = {
  z: "fz",
  x: "fx",
  B: "fB",
  C: "fC",
  dt: "fdt",
  conv: "fw",
  xs: "fxs",
  Bs: "fBs",
  Cs: "fCs",
  skip: "fD",
  zs: "fzs",
  g: "fg",
  gamma: "fGamma",
  u: "fu",
};

export function configOf(model: OracleModel): Mamba2Config {
  const { D, H, P, N, G, W, V } = model.shape;
  return {
    format: "huggingface",
    dModel: D,
    nLayers: model.layers.length,
    dInner: H * P,
    nHeads: H,
    headDim: P,
    dState: N,
    nGroups: G,
    convWidth: W,
    vocabSize: V,
    vocabUsed: V,
    normEps: EPSILON,
    timeStepLimit: [model.dtLow / 2 ** 24, model.dtHigh / 2 ** 24],
    useBias: model.layers[0]!.inProj.bias !== undefined,
    useConvBias: true,
    tieEmbeddings: "inverseGamma" in model.embedding,
    bosTokenId: 0,
    eosTokenIds: [0],
  };
}

const hostShape = ({ blocks, m, k }: HadamardShape) => ({ blocks, order: m, log2: k });

/** Matrices by name, in the order of a description. */
function matricesOf({ layers, lmHead }: OracleModel): [name: string, linear: OracleLinear][] {
  const own = layers.flatMap(({ inProj, outProj }, i): [string, OracleLinear][] => [
    [`layers.${i}.in_proj`, inProj],
    [`layers.${i}.out_proj`, outProj],
  ]);
  return [...own, ["lm_head", lmHead]];
}

function weightFormatOf(model: OracleModel): WeightFormat {
  const wide = matricesOf(model).flatMap(([name, { bits }]) => (bits === 8 ? [name] : []));
  return { wide, group: model.lmHead.group, embedding: "inverseGamma" in model.embedding ? "head" : "codes" };
}

function descriptionOf(model: OracleModel): ModelDescription {
  const tied = "inverseGamma" in model.embedding ? model.embedding : undefined;
  const names = Object.entries(FRACTION_NAMES);
  const unrotated = model.layers.flatMap(({ rotates }, i) => (rotates ? [] : [i]));
  return {
    generator: "tests",
    weights: { method: "rtn", ...weightFormatOf(model), powerOfTwoScales: false },
    activationBits: model.activationBits,
    stateBits: model.stateBits,
    rotation: {
      residual: hostShape(tied ? tied.hadamard : { blocks: model.shape.D, m: 1, k: 0 }),
      signSeed: 0,
      inner: hostShape(model.hadamard),
      unrotated,
    },
    vocabUsed: model.shape.V,
    embeddingFraction: tied?.fraction ?? 0,
    residualFraction: model.FR,
    layers: model.layers.map((layer) => Object.fromEntries(names.map(([key, of]) => [key, layer[of]])) as never),
    calibration: { source: "sampled", tokens: 1, seed: 0, sha256: "" },
    errors: { layers: model.layers.map(() => ({ inProjDb: 0, outProjDb: 0 })), headDb: 0 },
    sourceSha256: "",
    weightsSha256: "of a random model",
  };
}

type Data = Map<string, ArrayBufferView>;

function addLinear(data: Data, name: string, linear: OracleLinear, order: RowOrder): void {
  const { frames, rowExponents } = packLinear(linear, order);
  data.set(`${name}.frames`, frames);
  data.set(`${name}.row_exponent`, rowExponents);
  if (linear.bias)
    data.set(
      `${name}.bias`,
      Int32Array.from(order, (row) => (row < 0 ? 0 : linear.bias![row]!)),
    );
}

function addLayer(data: Data, name: string, layer: OracleLayer, config: Mamba2Config): void {
  addLinear(data, `${name}.in_proj`, layer.inProj, inProjOrder(config));
  addLinear(data, `${name}.out_proj`, layer.outProj, plainOrder(config.dModel));
  const taps = layer.convWeight[0]!.flatMap((_, i) => layer.convWeight.map((weights) => weights[i]!));
  data.set(`${name}.conv.weight`, Int16Array.from(taps));
  data.set(`${name}.conv.bias`, Int32Array.from(layer.convBias));
  data.set(`${name}.decay`, Uint16Array.from(layer.am));
  data.set(`${name}.decay_shift`, Uint8Array.from(layer.ae));
  data.set(`${name}.dt_bias`, Int32Array.from(layer.dtBias));
  data.set(`${name}.skip`, Int16Array.from(layer.Dq));
  data.set(`${name}.gate_norm`, Int16Array.from(layer.gamma2));
}

function addEmbedding(data: Data, embedding: OracleModel["embedding"]): void {
  if ("inverseGamma" in embedding) {
    data.set("embedding.inverse_gamma", Int16Array.from(embedding.inverseGamma));
    return;
  }
  data.set("embedding.codes", Int8Array.from(embedding.codes.flat()));
  data.set("embedding.scale", Uint16Array.from(embedding.em));
  data.set("embedding.exponent", Int8Array.from(embedding.ee));
}

export interface RawTensor {
  name: string;
  dtype: SafetensorsDtype;
  shape: number[];
  align?: number;
  data: Uint8Array;
}

/** The tensors of a model's file, in order. */
export function tensorsOf(model: OracleModel): RawTensor[] {
  const config = configOf(model);
  const data: Data = new Map<string, ArrayBufferView>([["final_norm", new Float32Array(config.dModel).fill(1)]]);
  addEmbedding(data, model.embedding);
  addLinear(data, "lm_head", model.lmHead, plainOrder(config.vocabSize));
  model.layers.forEach((layer, i) => {
    addLayer(data, `layers.${i}`, layer, config);
  });
  return [...modelTensors(config, weightFormatOf(model))].map(([name, spec]) => {
    const { buffer, byteOffset, byteLength } = data.get(name)!;
    return { name, ...spec, align: tensorAlignment(name), data: new Uint8Array(buffer, byteOffset, byteLength) };
  });
}

export function writeModel(model: OracleModel, dir: string): void {
  writeFileSync(join(dir, MODEL_FILES.config), configJson(configOf(model)));
  writeFileSync(join(dir, MODEL_FILES.description), descriptionJson(descriptionOf(model)));
  writeSafetensors(join(dir, MODEL_FILES.weights), tensorsOf(model));
}

// ------------------------------------------------------------------------------------- directory → oracle

type Reader = ReturnType<typeof readerOf>;

function readerOf(file: SafetensorsFile) {
  const bytes = (name: string) => file.readBytes(name).slice().buffer;
  return {
    has: (name: string) => file.tensors.has(name),
    i8: (name: string) => [...new Int8Array(bytes(name))],
    u8: (name: string) => new Uint8Array(bytes(name)),
    i16: (name: string) => [...new Int16Array(bytes(name))],
    u16: (name: string) => [...new Uint16Array(bytes(name))],
    i32: (name: string) => [...new Int32Array(bytes(name))],
  };
}

type FormatReader = Reader & { weights: WeightFormat };

function readLinear(read: FormatReader, name: string, order: RowOrder, inputs: number): OracleLinear {
  const { wide, group } = read.weights;
  const rowExponents = Int8Array.from(read.i8(`${name}.row_exponent`));
  const packed: PackedMatrix = {
    frames: read.u8(`${name}.frames`),
    planes: wide.includes(name) ? 2 : 1,
    rowExponents,
  };
  const linear = linearFrom(unpack(packed, order, inputs, group));
  if (!read.has(`${name}.bias`)) return linear;
  const stored = read.i32(`${name}.bias`);
  const bias: number[] = [];
  order.forEach((row, at) => {
    if (row >= 0) bias[row] = stored[at]!;
  });
  return { ...linear, bias };
}

const rowsOf = (values: number[], width: number): number[][] =>
  Array.from({ length: values.length / width }, (_, row) => values.slice(row * width, (row + 1) * width));

function readLayer(
  read: FormatReader,
  i: number,
  { config, description }: Pick<ModelHeader, "config" | "description">,
): OracleLayer {
  const fractions = description.layers[i]!;
  const name = `layers.${i}`;
  const names = Object.entries(FRACTION_NAMES) as [keyof Fractions, keyof Fixed][];
  const inner = config.dInner / config.nGroups;
  const taps = read.i16(`${name}.conv.weight`);
  const channels = taps.length / config.convWidth;
  const layer: Omit<OracleLayer, keyof Fixed> = {
    inProj: readLinear(read, `${name}.in_proj`, inProjOrder(config), config.dModel),
    rotates: !description.rotation.unrotated.includes(i),
    outProj: readLinear(read, `${name}.out_proj`, plainOrder(config.dModel), config.dInner),
    convWeight: Array.from({ length: channels }, (_, c) => taps.filter((_, at) => at % channels === c)),
    convBias: read.i32(`${name}.conv.bias`),
    am: read.u16(`${name}.decay`),
    ae: [...read.u8(`${name}.decay_shift`)],
    dtBias: read.i32(`${name}.dt_bias`),
    Dq: read.i16(`${name}.skip`),
    gamma2: read.i16(`${name}.gate_norm`),
    epsE: BigInt(Math.round(config.normEps * inner * 2 ** (2 * fractions.g))),
  };
  return Object.assign(layer, Object.fromEntries(names.map(([key, of]) => [of, fractions[key]])) as unknown as Fixed);
}

function readEmbedding(read: FormatReader, description: ModelDescription): OracleModel["embedding"] {
  if (description.weights.embedding === "head") {
    const { blocks, order: m, log2: k } = description.rotation.residual;
    const hadamard = { blocks, m, k, signs: hadamardSigns(m) };
    return { hadamard, fraction: description.embeddingFraction, inverseGamma: read.i16("embedding.inverse_gamma") };
  }
  const em = read.u16("embedding.scale");
  const codes = read.i8("embedding.codes");
  return { codes: rowsOf(codes, codes.length / em.length), em, ee: read.i8("embedding.exponent") };
}

/** The oracle's view of a model directory. */
export function readModel(dir: string): OracleModel {
  const { config, description } = readModelHeader(dir);
  const file = SafetensorsFile.open(join(dir, MODEL_FILES.weights));
  const read = { ...readerOf(file), weights: description.weights };
  const { dModel: D, nHeads: H, headDim: P, dState: N, nGroups: G, convWidth: W, vocabSize: V } = config;
  const { activationBits, stateBits, residualFraction: FR, rotation } = description;
  const { blocks, order: m, log2: k } = rotation.inner;
  const [dtLow, dtHigh] = config.timeStepLimit.map((limit) => Math.round(Math.min(limit * 2 ** 24, 2 ** 30)));
  const model: OracleModel = {
    shape: { D, H, P, N, G, W, V },
    activationBits,
    stateBits,
    FR,
    normGroups: G,
    dtLow: dtLow!,
    dtHigh: dtHigh!,
    epsD: BigInt(Math.round(config.normEps * D * 2 ** (2 * (FR + codeFraction(activationBits))))),
    rootD: rootOf(D),
    rootE: rootOf((H * P) / G),
    hadamard: { blocks, m, k, signs: hadamardSigns(m) },
    embedding: readEmbedding(read, description),
    layers: description.layers.map((_, i) => readLayer(read, i, { config, description })),
    lmHead: readLinear(read, "lm_head", plainOrder(V), D),
  };
  file.close();
  return model;
}
