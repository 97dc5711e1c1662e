/**
 * A model without a file: pseudo-random weights straight in linear memory, for measuring shapes whose checkpoint is not at
 * hand. It computes what a real one does: the signals are neither zero nor saturated, only the text is nonsense.
 */
import { WEIGHT_GROUP } from "../../assembly/contract.ts";
import { byteLength } from "../checkpoint/dtype.ts";
import type { Mamba2Config } from "../checkpoint/types.ts";
import type { ActivationBits, Fractions, ModelDescription, ModelHeader } from "../model/description.ts";
import { fillScales } from "../model/frames.ts";
import { hadamardShape } from "../model/hadamard.ts";
import { type TensorSpec, tensorAlignment } from "../model/tensors.ts";
import { mantissa } from "../quantize/fractions.ts";
import { uniforms } from "../reference/random.ts";
import type { Engine } from "./engine.ts";
import { type Addresses, installTensors, reserve } from "./load.ts";

export interface SyntheticRecipe {
  activationBits?: ActivationBits;
  /** With 8, a tied model reads its embedding out of the head, as quantize makes it. */
  headBits?: 4 | 8;
  stateBits?: 8 | 16;
  seed?: number;
}

/** Fraction bits that hold the values of fillTensors with room to spare. */
const FRACTIONS: Fractions = {
  z: 11,
  x: 11,
  B: 11,
  C: 11,
  dt: 11,
  conv: 13,
  xs: 11,
  Bs: 12,
  Cs: 12,
  skip: 12,
  zs: 12,
  g: 12,
  gamma: 12,
  u: 9,
};
const RESIDUAL_FRACTION = 14;

/** Of every weight group, since the time of a product does not depend on it. */
const SCALE = 160;
/** Standard deviation of codes that are uniform over their range. */
const CODE_DEVIATION = { 4: 16 / Math.sqrt(12), 8: 256 / Math.sqrt(12) };
/** Signals like those of a trained model. Deviations are those of what a matrix makes of normalised inputs. */
export const SIGNALS = {
  inProjDeviation: 1,
  outProjDeviation: 0.4,
  logitDeviation: 2,
  /** Where checkpoints begin their training: rates of decay, and logarithms of the time step. */
  decayRates: [1, 16],
  logTimeSteps: [-6.9, -2.2],
  convReach: 0.7,
} as const;

/** Of an embedding row: about 1, with codes that are uniform over int8. */
const EMBEDDING_SCALE = { mantissa: 2 ** 15, exponent: -21 };
const DT_BIAS_FRACTION = 16;
/** Four of them stay far below the 2^16 at which a sum could overflow. */
const CONV_REACH = SIGNALS.convReach * 2 ** FRACTIONS.conv;

/** What `lightmamba quantize` would say of a model of this shape. */
export function syntheticDescription(config: Mamba2Config, recipe: SyntheticRecipe = {}): ModelDescription {
  const { activationBits = 4, headBits = 4, stateBits = 8, seed = 0 } = recipe;
  const residual = hadamardShape(config.dModel);
  const embedding = headBits === 8 && config.tieEmbeddings ? "head" : "codes";
  const layers = Array.from({ length: config.nLayers }, () => FRACTIONS);
  const identity = `synthetic, seed ${seed}`;
  return {
    generator: "lightmamba bench",
    weights: {
      method: "rtn",
      wide: headBits === 8 ? ["lm_head"] : [],
      group: WEIGHT_GROUP,
      embedding,
      powerOfTwoScales: false,
    },
    activationBits,
    stateBits,
    rotation: { residual, signSeed: seed, inner: hadamardShape(config.dInner), unrotated: [] },
    // Makes blocks / D · 2^fraction a number of 14 bits.
    embeddingFraction: embedding === "head" ? 13 + Math.ceil(Math.log2(config.dModel / residual.blocks)) : 0,
    vocabUsed: config.vocabUsed,
    residualFraction: RESIDUAL_FRACTION,
    layers,
    calibration: { source: "sampled", tokens: 1, seed, sha256: identity },
    errors: { layers: layers.map(() => ({ inProjDb: 0, outProjDb: 0 })), headDb: 0 },
    sourceSha256: identity,
    weightsSha256: identity,
  };
}

/** Fills a fresh instance. The same header gives the same bytes everywhere. */
export function synthesizeWeights(engine: Engine, header: ModelHeader): void {
  installTensors(engine, header, header.dir, (specs) => {
    const { offsets, sizeBytes } = layOut(specs);
    const start = reserve(engine, sizeBytes, header.dir);
    const address: Addresses = (name) => start + offsets.get(name)!;
    let stream = 0;
    for (const [name, spec] of specs) {
      const view = new VIEWS[spec.dtype as keyof typeof VIEWS](
        engine.memory.buffer,
        address(name),
        spec.shape.reduce((product, size) => product * size, 1),
      );
      fillTensor(view, name, header, uniforms(header.description.rotation.signSeed, stream++));
    }
    return address;
  });
}

/** Offsets as in a file: each tensor from the next multiple of its alignment on. */
function layOut(specs: Map<string, TensorSpec>): { offsets: Map<string, number>; sizeBytes: number } {
  const offsets = new Map<string, number>();
  let end = 0;
  for (const [name, { dtype, shape }] of specs) {
    const alignment = tensorAlignment(name);
    const begin = Math.ceil(end / alignment) * alignment;
    offsets.set(name, begin);
    end = begin + byteLength(dtype, shape);
  }
  return { offsets, sizeBytes: end };
}

/** Types of the tensors of host/model/tensors.ts. */
const VIEWS = {
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  I32: Int32Array,
  F32: Float32Array,
} as const;

type View = InstanceType<(typeof VIEWS)[keyof typeof VIEWS]>;

function fillTensor(view: View, name: string, { config, description }: ModelHeader, random: () => number): void {
  const part = name.replace(/^layers\.\d+\./, "");
  const matrix = /^(.*)\.frames$/.exec(part)?.[1];
  if (matrix !== undefined) {
    fillRandom(view as Uint8Array, random());
    const inputs = matrix === "out_proj" ? config.dInner : config.dModel;
    fillScales(view as Uint8Array, inputs, description.weights.group, SCALE);
  } else if (part === "embedding.codes") {
    fillRandom(view as Int8Array, random());
  } else {
    const value = elementOf(part, name, { config, description }, random);
    for (let i = 0; i < view.length; i++) view[i] = value(i);
  }
}

/** The tensors beside matrices and embedding, as functions of the index. */
function elementOf(
  part: string,
  name: string,
  { config, description }: Pick<ModelHeader, "config" | "description">,
  random: () => number,
): (i: number) => number {
  const { dModel: D, dInner: E } = config;
  const exponent = (inputs: number, deviation: number) => {
    const bits = description.weights.wide.includes(name.replace(/\.row_exponent$/, "")) ? 8 : 4;
    const value = Math.round(Math.log2(deviation / (Math.sqrt(inputs) * CODE_DEVIATION[bits] * SCALE)));
    return () => value;
  };
  switch (part) {
    case "embedding.scale":
      return () => EMBEDDING_SCALE.mantissa;
    case "embedding.exponent":
      return () => EMBEDDING_SCALE.exponent;
    case "embedding.inverse_gamma": {
      const value = Math.round((description.rotation.residual.blocks / D) * 2 ** description.embeddingFraction);
      return () => value;
    }
    case "lm_head.row_exponent":
      return exponent(D, SIGNALS.logitDeviation);
    case "in_proj.row_exponent":
      return exponent(D, SIGNALS.inProjDeviation);
    case "out_proj.row_exponent":
      // The Hadamard transform before it is not normalised.
      return exponent(E, SIGNALS.outProjDeviation / Math.sqrt(E / description.rotation.inner.blocks));
    case "conv.weight":
      return () => Math.round((2 * random() - 1) * CONV_REACH);
    case "decay":
      return (h) => mantissa(decayRate(h)).mantissa;
    case "decay_shift":
      return (h) => mantissa(decayRate(h)).shift;
    case "dt_bias":
      return () => Math.round(between(SIGNALS.logTimeSteps, random()) * 2 ** DT_BIAS_FRACTION);
    case "skip":
      return () => 2 ** FRACTIONS.skip;
    case "gate_norm":
      return () => 2 ** FRACTIONS.gamma;
    case "final_norm":
      return () => 1;
    default:
      // Biases.
      return () => 0;
  }
}

/** |A| · log2 e of a head: the two halves of the number are tensors of their own, so it comes from the index alone. */
function decayRate(head: number): number {
  return between(SIGNALS.decayRates, (head * 0.618034) % 1) * Math.LOG2E;
}

export function between([low, high]: readonly [number, number], part: number): number {
  return low + (high - low) * part;
}

/** A xorshift of 32 bits, whole words of it: gigabytes take a second or two. `seed` is in [0, 1). */
export function fillRandom({ buffer, byteOffset, byteLength: size }: ArrayBufferView, seed: number): void {
  const words = new Uint32Array(buffer, byteOffset, Math.floor(size / 4));
  let s = Math.floor(seed * 2 ** 32) | 1;
  for (let i = 0; i < words.length; i++) {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    words[i] = s;
  }
}
