/** A model directory into an instance of the runtime: every byte is checked, and the weights are read straight into linear memory. */
import { join } from "node:path";
import { isPadding, SafetensorsFile } from "../checkpoint/safetensors.ts";
import type { Mamba2Config } from "../checkpoint/types.ts";
import { badInput, LightMambaError } from "../errors.ts";
import { MODEL_FILES, type ModelHeader } from "../model/description.ts";
import { ROW_EXPONENT_RANGE } from "../model/frames.ts";
import { hadamardSigns, transpose } from "../model/hadamard.ts";
import { modelTensors, PAGE, type TensorSpec, tensorAlignment, type WeightFormat } from "../model/tensors.ts";
import { MAX_DECAY_SHIFT } from "../quantize/constants.ts";
import { EMBEDDING_EXPONENT_RANGE } from "../quantize/embedding.ts";
import { mantissa } from "../quantize/fractions.ts";
import type { Engine, RuntimeExports } from "./engine.ts";

/** Guard bits of NQU's values: docs/numerics.md section 3.1. */
const NQU_GUARD = { 4: 5, 5: 5, 6: 5, 8: 8 } as const;
const TIME_STEP_FRACTION = 24;
const LARGEST_TIME_STEP = 2 ** 30;
const ADDRESS_SPACE = 2 ** 32;

/** Address of a tensor by name. */
export type Addresses = (name: string) => number;

/** Where in memory a range of the weights' file lies, byte for byte. */
export interface FileRange {
  at: number;
  offset: number;
  bytes: number;
}

/** Returns where the weights lie, on a page boundary of memory and file. */
export function loadWeights(engine: Engine, header: ModelHeader): FileRange {
  const path = join(header.dir, MODEL_FILES.weights);
  const file = SafetensorsFile.open(path);
  try {
    const range = { at: 0, ...rangeOfTensors(file) };
    installTensors(engine, header, path, (specs) => {
      checkTensors(file, specs, path);
      range.at = reserve(engine, range.bytes, path);
      file.file.readInto(new Uint8Array(engine.memory.buffer, range.at, range.bytes), range.offset);
      return (name) => range.at + file.tensors.get(name)!.begin - range.offset;
    });
    return range;
  } finally {
    file.close();
  }
}

/** Sets up a fresh instance with the tensors that `bring` puts into its memory; errors name `source`. */
export function installTensors(
  engine: Engine,
  header: ModelHeader,
  source: string,
  bring: (specs: Map<string, TensorSpec>) => Addresses,
): void {
  const { exports } = engine;
  const { config, description } = header;
  const specs = modelTensors(config, description.weights);
  configure(exports, header);
  const address = bring(specs);
  checkValues(engine, specs, header, address, source);
  place(engine, config, header, address);
  exports.finish();
}

/** Exactly the tensors of this shape, no more. */
function checkTensors(file: SafetensorsFile, specs: Map<string, TensorSpec>, path: string): void {
  for (const [name, spec] of specs) {
    const found = file.tensors.get(name);
    if (!found) throw badInput("the tensor is missing", { file: path, field: name });
    const want = `${spec.dtype} [${spec.shape}]`;
    const have = `${found.dtype} [${found.shape}]`;
    if (want !== have) {
      throw badInput("another type or shape", { file: path, field: name, expected: want, found: have });
    }
    const alignment = tensorAlignment(name);
    if (found.begin % alignment === 0) continue;
    const detail = { expected: `a multiple of ${alignment}`, found: found.begin };
    throw badInput("the tensor starts in the wrong place", { file: path, field: name, ...detail });
  }
  for (const name of file.tensors.keys()) {
    if (!specs.has(name) && !isPadding(name)) throw badInput("an unknown tensor", { file: path, field: name });
  }
}

function configure(exports: RuntimeExports, { config, description }: ModelHeader): void {
  const fr = description.residualFraction;
  exports.configure(
    config.dModel,
    config.nLayers,
    config.nHeads,
    config.headDim,
    config.dState,
    config.nGroups,
    config.convWidth,
    config.vocabSize,
    config.nGroups,
    description.activationBits,
    description.weights.group === 16 ? 16 : 32,
    description.stateBits,
    fr,
  );
  const guard = NQU_GUARD[description.activationBits];
  const model = mantissa(Math.sqrt(config.dModel));
  const inner = mantissa(Math.sqrt(config.dInner / config.nGroups));
  exports.setNorm(
    scaledEpsilon(config.normEps * config.dModel, fr + guard),
    model.mantissa,
    model.shift,
    inner.mantissa,
    inner.shift,
  );
  const [low, high] = config.timeStepLimit.map((limit) =>
    BigInt(Math.round(Math.min(limit * 2 ** TIME_STEP_FRACTION, LARGEST_TIME_STEP))),
  );
  exports.setTimeStepLimits(low!, high!);
}

/** value · 2^(2f), an unsigned 64-bit integer. */
function scaledEpsilon(value: number, f: number): bigint {
  const scaled = Math.round(value * 2 ** (2 * f));
  if (scaled < 2 ** 62) return BigInt(scaled);
  throw new LightMambaError("unsupported", "the norm's epsilon is too large for the fixed-point contract", {
    field: "layer_norm_epsilon",
    expected: `below ${2 ** 62 / 2 ** (2 * f)} in all`,
    found: value,
  });
}

/** The whole file behind its header, in one piece and from a page boundary on: tensors keep the alignment they have on disk. */
function rangeOfTensors(file: SafetensorsFile): { offset: number; bytes: number } {
  const offset = Math.floor(Math.min(...[...file.tensors.values()].map(({ begin }) => begin)) / PAGE) * PAGE;
  return { offset, bytes: file.file.size - offset };
}

/** Memory for all weights, from a page boundary on. */
export function reserve(engine: Engine, size: number, source: string): number {
  const used = engine.memory.buffer.byteLength;
  if (used + size + PAGE > ADDRESS_SPACE) {
    throw new LightMambaError("unsupported", "the model does not fit a 32-bit address space", {
      file: source,
      expected: `at most ${ADDRESS_SPACE - used - PAGE} bytes`,
      found: size,
    });
  }
  return Math.ceil(allocate(engine, size + PAGE, "the weights") / PAGE) * PAGE;
}

export function allocate(engine: Engine, bytes: number, what: string): number {
  try {
    return engine.exports.allocate(bytes) >>> 0;
  } catch {
    throw new LightMambaError("prerequisite", `no memory for ${what}`, {
      expected: `${bytes} bytes`,
      hint: "close other programs, or take a smaller model",
    });
  }
}

function place(engine: Engine, config: Mamba2Config, { description }: ModelHeader, at: Addresses): void {
  const { exports } = engine;
  const { inner } = description.rotation;
  const bits = (name: string) => (description.weights.wide.includes(name) ? 8 : 4);
  exports.setHadamard(inner.blocks, inner.order, inner.log2, placeSigns(engine, hadamardSigns(inner.order)));
  placeEmbedding(engine, description, at);
  exports.setHead(at("lm_head.frames"), at("lm_head.row_exponent"), bits("lm_head"));
  description.layers.forEach((f, i) => {
    const tensor = (name: string) => at(`layers.${i}.${name}`);
    const matrix = (name: string): [frames: number, rowExponents: number, bias: number, bits: number] => [
      tensor(`${name}.frames`),
      tensor(`${name}.row_exponent`),
      config.useBias ? tensor(`${name}.bias`) : 0,
      bits(`layers.${i}.${name}`),
    ];
    exports.setInProj(i, ...matrix("in_proj"));
    exports.setOutProj(i, ...matrix("out_proj"), Number(!description.rotation.unrotated.includes(i)));
    exports.setConv(i, tensor("conv.weight"), tensor("conv.bias"));
    exports.setHeads(i, tensor("decay"), tensor("decay_shift"), tensor("dt_bias"), tensor("skip"), tensor("gate_norm"));
    const { z, x, B, C, dt, conv, xs, Bs, Cs, skip, zs, g, gamma, u } = f;
    const epsilon = scaledEpsilon(config.normEps * (config.dInner / config.nGroups), g);
    exports.setFractions(i, z, x, B, C, dt, conv, xs, Bs, Cs, skip, zs, g, gamma, u, epsilon);
  });
}

/** Copies the entries of a Hadamard matrix into memory; returns their address. */
function placeSigns(engine: Engine, signs: Int8Array): number {
  const at = allocate(engine, signs.length, "a Hadamard matrix");
  new Int8Array(engine.memory.buffer, at, signs.length).set(signs);
  return at;
}

function placeEmbedding(engine: Engine, description: ModelHeader["description"], at: Addresses): void {
  const { exports } = engine;
  if (description.weights.embedding === "codes") {
    exports.setEmbedding(at("embedding.codes"), at("embedding.scale"), at("embedding.exponent"));
    return;
  }
  const { blocks, order, log2 } = description.rotation.residual;
  const signs = hadamardSigns(order);
  const [direct, transposed] = [placeSigns(engine, signs), placeSigns(engine, transpose(signs, order))];
  const gamma = at("embedding.inverse_gamma");
  exports.setTiedEmbedding(gamma, description.embeddingFraction, blocks, order, log2, direct, transposed);
}

/** The numbers that the arithmetic relies on. Weight codes and mantissas may be anything. */
function checkValues(
  engine: Engine,
  specs: Map<string, TensorSpec>,
  header: ModelHeader,
  at: Addresses,
  path: string,
): void {
  const { buffer } = engine.memory;
  const inRange = (name: string, values: ArrayLike<number>, [low, high]: [number, number]) => {
    for (let i = 0; i < values.length; i++) {
      if (values[i]! >= low && values[i]! <= high) continue;
      const detail = { file: path, field: `${name}[${i}]`, expected: `${low} to ${high}`, found: values[i]! };
      throw badInput("the value is out of range", detail);
    }
  };
  const { vocabSize, nHeads } = header.config;
  for (const [name, { shape }] of specs) {
    if (!name.endsWith(".row_exponent")) continue;
    inRange(name, new Int8Array(buffer, at(name), shape[0]), ROW_EXPONENT_RANGE);
  }
  if (header.description.weights.embedding === "codes") {
    const exponents = new Int8Array(buffer, at("embedding.exponent"), vocabSize);
    inRange("embedding.exponent", exponents, EMBEDDING_EXPONENT_RANGE);
  }
  header.description.layers.forEach((_, i) => {
    const shifts = `layers.${i}.decay_shift`;
    inRange(shifts, new Uint8Array(buffer, at(shifts), nHeads), [0, MAX_DECAY_SHIFT]);
    checkConv(buffer, specs, at, i, path);
  });
}

/** 2^15 · Σ|weight| + |bias| < 2^31 for every channel, or the int32 sum could overflow. */
function checkConv(
  buffer: ArrayBuffer,
  specs: Map<string, TensorSpec>,
  at: Addresses,
  layer: number,
  path: string,
): void {
  const name = `layers.${layer}.conv.weight`;
  const [width, channels] = specs.get(name)!.shape as [number, number];
  const weights = new Int16Array(buffer, at(name), width * channels);
  const bias = new Int32Array(buffer, at(`layers.${layer}.conv.bias`), channels);
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += Math.abs(weights[i * channels + c]!);
    const most = sum * 2 ** 15 + Math.abs(bias[c]!);
    if (most < 2 ** 31) continue;
    throw badInput("the convolution could overflow", {
      file: path,
      field: `${name}, channel ${c}`,
      expected: `below ${2 ** 31}`,
      found: most,
    });
  }
}

/** Bytes of weights that one token streams: both matrices of every layer, and lm_head. */
export function weightBytesPerToken(config: Mamba2Config, recipe: WeightFormat): number {
  let bytes = 0;
  for (const [name, { shape }] of modelTensors(config, recipe)) {
    if (name.endsWith(".frames")) bytes += shape[0]! * shape[1]!;
  }
  return bytes;
}
