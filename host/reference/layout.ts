import type { Mamba2Config } from "../checkpoint/types.ts";
import type { Arena } from "./offline.ts";
import type { ReferenceLayer } from "./weights.ts";

/** Sizes derived from the shape. */
export interface Widths {
  /** Channels of the convolution, x, B and C: E + 2·G·N. */
  conv: number;
  /** Rows of in_proj: z, then the convolution's channels, then dt. */
  inProj: number;
}

export function widths(config: Mamba2Config): Widths {
  const conv = config.dInner + 2 * config.nGroups * config.dState;
  return { conv, inProj: config.dInner + conv + config.nHeads };
}

/** Elements of the two matrices of a block. */
export function matrixSizes(config: Mamba2Config): { inProj: number; outProj: number } {
  const { dModel, dInner } = config;
  return { inProj: widths(config).inProj * dModel, outProj: dModel * dInner };
}

/** Addresses of one block's weights; 0 where there is no bias. The convolution is transposed to [W, C]. */
export type LayerAddresses = Record<keyof ReferenceLayer, number>;

export function placeLayer(arena: Arena, config: Mamba2Config): LayerAddresses {
  const { dModel, dInner, nHeads, convWidth, useBias, useConvBias } = config;
  const { conv, inProj } = widths(config);
  return {
    norm: arena.floats(dModel),
    inProj: arena.floats(inProj * dModel),
    inProjBias: useBias ? arena.floats(inProj) : 0,
    conv: arena.floats(convWidth * conv),
    convBias: useConvBias ? arena.floats(conv) : 0,
    A: arena.floats(nHeads),
    D: arena.floats(nHeads),
    dtBias: arena.floats(nHeads),
    gateNorm: arena.floats(dInner),
    outProj: arena.floats(dModel * dInner),
    outProjBias: useBias ? arena.floats(dModel) : 0,
  };
}

/** What a sequence carries from one call to the next, for one block and all sequences. */
export interface StateAddresses {
  /** [S, W - 1, C]. */
  conv: number;
  /** [S, H, P, N]. */
  ssm: number;
}

export function placeState(arena: Arena, config: Mamba2Config, sequences: number): StateAddresses {
  return {
    conv: arena.floats(sequences * (config.convWidth - 1) * widths(config).conv),
    ssm: arena.floats(sequences * config.dInner * config.dState),
  };
}

/** Working arrays of one call, R = S·T rows. */
export interface ActivationAddresses {
  /** [R, D]. */
  residual: number;
  /** [R, D]: input of in_proj, then output of out_proj; the final norm's output. */
  stream: number;
  /** [R, 2E + 2GN + H]. */
  projected: number;
  /** [R, C] after the convolution; free again once the scan has run. */
  xbc: number;
  /** [R, H] after softplus and clamp. */
  dt: number;
  /** [R, E]: y, then g, then the input of out_proj. */
  inner: number;
  /** [H]. */
  peak: number;
  /** [tokens, rows] of one piece of the logits. */
  logits: number;
}

export function placeActivations(
  arena: Arena,
  config: Mamba2Config,
  rows: number,
  logitCount: number,
): ActivationAddresses {
  const { conv, inProj } = widths(config);
  return {
    residual: arena.floats(rows * config.dModel),
    stream: arena.floats(rows * config.dModel),
    projected: arena.floats(rows * inProj),
    xbc: arena.floats(rows * conv),
    dt: arena.floats(rows * config.nHeads),
    inner: arena.floats(rows * config.dInner),
    peak: arena.floats(config.nHeads),
    logits: arena.floats(logitCount),
  };
}
