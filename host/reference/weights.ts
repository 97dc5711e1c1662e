import type { Checkpoint, Mamba2Config } from "../checkpoint/types.ts";
import { badInput } from "../errors.ts";
import { sharedOffline } from "./offline.ts";
import { sharedFloats } from "./shared.ts";

/** FP32 weights of one block. D = dModel, E = dInner, H = nHeads, C = E + 2·G·N, W = convWidth. */
export interface ReferenceLayer {
  /** γ1 [D]. */
  norm: Float32Array;
  /** [2E + 2GN + H, D]: rows z, x, B, C, dt. */
  inProj: Float32Array;
  /** [2E + 2GN + H]. */
  inProjBias?: Float32Array | undefined;
  /** [C, W], oldest tap first. */
  conv: Float32Array;
  /** [C]. */
  convBias?: Float32Array | undefined;
  /** -exp(A_log) [H]. */
  A: Float32Array;
  /** [H]. */
  D: Float32Array;
  /** [H]. */
  dtBias: Float32Array;
  /** γ2 [E]. */
  gateNorm: Float32Array;
  /** [D, E]. */
  outProj: Float32Array;
  /** [D]. */
  outProjBias?: Float32Array | undefined;
}

/** The two that are large. */
export type Matrices = Pick<ReferenceLayer, "inProj" | "outProj">;

/**
 * A Hadamard transform of E = blocks·order·2^log2 channels, computed as the model runs: H_order ⊗ H_{2^log2} of each
 * block, divided by the root of a block's size.
 */
export interface OnlineHadamard {
  blocks: number;
  order: number;
  log2: number;
  /** H_order, entries ±1, [order, order]. */
  signs: Int8Array;
  /** Blocks that do without it. */
  unrotated?: readonly number[];
}

/** What the reference computes with: a checkpoint's weights, or the same after a rotation or a quantizer. */
export interface ReferenceWeights {
  config: Mamba2Config;
  /** [V, D]. */
  embedding: Float32Array;
  /**
   * Reads a block. The reference keeps a copy where it fits, and asks again in every call where it does not: the two
   * matrices may then be read straight to where it wants them.
   */
  layer(index: number, matrices?: Matrices): ReferenceLayer;
  /** [D]. */
  finalNorm: Float32Array;
  /** [V, D]; the embedding itself when tied. */
  lmHead: Float32Array;
  /** Applied to the output of the gated norm, before out_proj. */
  online?: OnlineHadamard | undefined;
}

/** The two tables of the vocabulary, which are one when tied. */
export type Tables = Pick<ReferenceWeights, "embedding" | "lmHead">;

/** `tables`: where they are at hand already. Those that are read here are in memory that threads can share. */
export function weightsFromCheckpoint(checkpoint: Checkpoint, tables = readTables(checkpoint)): ReferenceWeights {
  return {
    config: checkpoint.config,
    ...tables,
    layer: (index, matrices) => readLayer(checkpoint, index, matrices),
    finalNorm: checkpoint.read("final_norm"),
  };
}

function readTables(checkpoint: Checkpoint): Tables {
  const { vocabSize, dModel, tieEmbeddings } = checkpoint.config;
  const read = (name: string) => checkpoint.read(name, sharedFloats(vocabSize * dModel));
  const embedding = read("embedding");
  return { embedding, lmHead: tieEmbeddings ? embedding : read("lm_head") };
}

function readLayer(checkpoint: Checkpoint, index: number, matrices?: Matrices): ReferenceLayer {
  const { useBias, useConvBias } = checkpoint.config;
  const { exp } = sharedOffline().kernels;
  const read = (name: string, target?: Float32Array) => checkpoint.read(`layers.${index}.${name}`, target);
  return {
    norm: read("norm"),
    inProj: read("in_proj", matrices?.inProj),
    inProjBias: useBias ? read("in_proj_bias") : undefined,
    conv: read("conv"),
    convBias: useConvBias ? read("conv_bias") : undefined,
    A: read("A_log").map((value) => -exp(value)),
    D: read("D"),
    dtBias: read("dt_bias"),
    gateNorm: read("gate_norm"),
    outProj: read("out_proj", matrices?.outProj),
    outProjBias: useBias ? read("out_proj_bias") : undefined,
  };
}

/** Refuses a transform of another size than E. */
export function checkHadamard(dInner: number, { blocks, order, log2 }: OnlineHadamard): void {
  if (blocks * order * 2 ** log2 === dInner) return;
  throw badInput("the online Hadamard transform does not fit dInner", {
    expected: `${dInner} = blocks * order * 2^log2`,
    found: `${blocks} * ${order} * 2^${log2}`,
  });
}
