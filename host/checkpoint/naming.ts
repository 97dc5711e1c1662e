/** What the files call the tensors, and where they shape them otherwise than types.ts. */

import type { Mamba2Config } from "./types.ts";

export type LayerPart =
  | "norm"
  | "in_proj"
  | "in_proj_bias"
  | "conv"
  | "conv_bias"
  | "A_log"
  | "D"
  | "dt_bias"
  | "gate_norm"
  | "out_proj"
  | "out_proj_bias";

export interface Naming {
  embedding: string;
  finalNorm: string;
  head: string;
  /** Prefix of the layers; the index and the part follow. */
  layers: string;
  parts: Record<LayerPart, string>;
  /** The shape in the file of a part that has `shape` here. */
  reshaped(part: LayerPart, shape: number[], config: Mamba2Config): number[];
}

const TORCH: Naming = {
  embedding: "backbone.embeddings.weight",
  finalNorm: "backbone.norm_f.weight",
  head: "lm_head.weight",
  layers: "backbone.layers",
  parts: {
    norm: "norm.weight",
    in_proj: "mixer.in_proj.weight",
    in_proj_bias: "mixer.in_proj.bias",
    conv: "mixer.conv1d.weight",
    conv_bias: "mixer.conv1d.bias",
    A_log: "mixer.A_log",
    D: "mixer.D",
    dt_bias: "mixer.dt_bias",
    gate_norm: "mixer.norm.weight",
    out_proj: "mixer.out_proj.weight",
    out_proj_bias: "mixer.out_proj.bias",
  },
  /** PyTorch's Conv1d has an axis of size 1 more. */
  reshaped: (part, shape) => (part === "conv" ? [shape[0]!, 1, shape[1]!] : shape),
};

/** llama.cpp's names. No model it runs has biases of the projections, but its conversion script would call them so. */
const GGUF: Naming = {
  embedding: "token_embd.weight",
  finalNorm: "output_norm.weight",
  head: "output.weight",
  layers: "blk",
  parts: {
    norm: "attn_norm.weight",
    in_proj: "ssm_in.weight",
    in_proj_bias: "ssm_in.bias",
    conv: "ssm_conv1d.weight",
    conv_bias: "ssm_conv1d.bias",
    A_log: "ssm_a",
    D: "ssm_d",
    dt_bias: "ssm_dt.bias",
    gate_norm: "ssm_norm.weight",
    out_proj: "ssm_out.weight",
    out_proj_bias: "ssm_out.bias",
  },
  reshaped(part, shape, { nGroups, dInner }) {
    if (part === "A_log" || part === "D") return withoutLeadingOnes([shape[0]!, 1]);
    return withoutLeadingOnes(part === "gate_norm" ? [nGroups, dInner / nGroups] : shape);
  },
};

export const NAMINGS: Record<Mamba2Config["format"], Naming> = {
  huggingface: TORCH,
  "state-spaces": { ...TORCH, embedding: "backbone.embedding.weight" },
  gguf: GGUF,
};

/** To ggml [1, D] and [D] are the same: it fills every shape up to four axes. */
export function withoutLeadingOnes(shape: readonly number[]): number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first < 0 ? shape.slice(-1) : shape.slice(first);
}
