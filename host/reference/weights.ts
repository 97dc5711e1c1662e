import type { Checkpoint, Mamba2Config } from "../checkpoint/types.ts";
import { badInput } from "../errors.ts";
import { sharedOffline } from "./offline.ts";

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
  /** Reads a block. The reference keeps a copy where it fits, and asks again in every call where it does not. */
  layer(index: number): ReferenceLayer;
  /** [D]. */
  finalNorm: Float32Array;
  /** [V, D]; the embedding itself when tied. */
  lmHead: Float32Array;
  /** Applied to the output of the gated norm, before out_proj. */
  online?: OnlineHadamard | undefined;
}

export function weightsFromCheckpoint(checkpoint: Checkpoint): ReferenceWeights {
  const { config } = checkpoint;
  const embedding = checkpoint.read("embedding");
  return {
    config,
    embedding,
    layer: (index) => readLayer(checkpoint, index),
    finalNorm: checkpoint.read("final_norm"),
    lmHead: config.tieEmbeddings ? embedding : checkpoint.read("lm_head"),
  };
}

function readLayer(checkpoint: Checkpoint, index: number): ReferenceLayer {
  const { useBias, useConvBias } = checkpoint.config;
  const { exp } = sharedOffline().kernels;
  const read = (name: string) => checkpoint.read(`layers.${index}.${name}`);
  return {
    norm: read("norm"),
    inProj: read("in_proj"),
    inProjBias: useBias ? read("in_proj_bias") : undefined,
    conv: read("conv"),
    convBias: useConvBias ? read("conv_bias") : undefined,
    A: read("A_log").map((value) => -exp(value)),
    D: read("D"),
    dtBias: read("dt_bias"),
    gateNorm: read("gate_norm"),
    outProj: read("out_proj"),
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
