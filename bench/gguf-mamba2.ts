/** A Mamba-2 checkpoint as a GGUF file of architecture "mamba2": the keys, names and shapes that llama.cpp reads. */

import { basename } from "node:path";
import type { Checkpoint, Mamba2Config } from "../host/checkpoint/types.ts";
import { LightMambaError } from "../host/errors.ts";
import { F16, F32, type GgufValue } from "./gguf-format.ts";
import { tokenizerKeys } from "./gguf-tokenizer.ts";
import { type GgufTensor, writeGguf } from "./gguf-writer.ts";

/** llama.cpp wants a number; a recurrent model has none. */
const CONTEXT_LENGTH = 2 ** 20;

/** Writes matrices in FP16 where the checkpoint has FP16, in FP32 otherwise: nothing is rounded here. */
export function writeMamba2Gguf(checkpoint: Checkpoint, path: string): void {
  checkSupported(checkpoint);
  const keys = new Map([...modelKeys(checkpoint), ...tokenizerKeys(checkpoint.path, checkpoint.config)]);
  writeGguf(path, keys, modelTensors(checkpoint));
}

/** llama.cpp's graph has no place for these, and would silently leave them out. */
function checkSupported({ path: file, config }: Checkpoint): void {
  const refuse = (what: string) => {
    throw new LightMambaError("unsupported", `llama.cpp's mamba2 has no ${what}`, { file });
  };
  if (config.useBias) refuse("bias of in_proj and out_proj");
  const [low, high] = config.timeStepLimit;
  if (low > 0 || high !== Infinity) refuse("limit of the time step");
}

function modelKeys({ path, config, tensors }: Checkpoint): [string, GgufValue][] {
  const { dModel, nLayers, dInner, nHeads, dState, nGroups, convWidth, normEps } = config;
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  return [
    ["general.architecture", { type: "string", value: "mamba2" }],
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: basename(path) }],
    // 0: all FP32, 1: mostly FP16.
    ["general.file_type", u32(tensors.get("embedding")!.dtype === "F16" ? 1 : 0)],
    ["general.quantization_version", u32(2)],
    ["mamba2.context_length", u32(CONTEXT_LENGTH)],
    ["mamba2.embedding_length", u32(dModel)],
    ["mamba2.feed_forward_length", u32(0)],
    ["mamba2.attention.head_count", u32(0)],
    ["mamba2.block_count", u32(nLayers)],
    ["mamba2.ssm.conv_kernel", u32(convWidth)],
    ["mamba2.ssm.inner_size", u32(dInner)],
    ["mamba2.ssm.state_size", u32(dState)],
    // The number of heads goes by the name of Mamba-1's rank.
    ["mamba2.ssm.time_step_rank", u32(nHeads)],
    ["mamba2.ssm.group_count", u32(nGroups)],
    ["mamba2.attention.layer_norm_rms_epsilon", { type: "f32", value: normEps }],
  ];
}

/** A tied head is left out: llama.cpp then takes the embedding. */
function modelTensors(checkpoint: Checkpoint): GgufTensor[] {
  const { config, tensors } = checkpoint;
  const matrix = (name: string, source: string) => plain(checkpoint, name, source, tensors.get(source)!.dtype);
  return [
    matrix("token_embd.weight", "embedding"),
    ...Array.from({ length: config.nLayers }, (_, layer) => layerTensors(checkpoint, layer)).flat(),
    plain(checkpoint, "output_norm.weight", "final_norm"),
    ...(config.tieEmbeddings ? [] : [matrix("output.weight", "lm_head")]),
  ];
}

function layerTensors(checkpoint: Checkpoint, layer: number): GgufTensor[] {
  const { config, tensors } = checkpoint;
  const { dInner, nHeads, nGroups } = config;
  const source = (name: string) => `layers.${layer}.${name}`;
  const target = (name: string) => `blk.${layer}.${name}`;
  const vector = (name: string, from: string) => plain(checkpoint, target(name), source(from));
  const matrix = (name: string, from: string) =>
    plain(checkpoint, target(name), source(from), tensors.get(source(from))!.dtype);
  return [
    vector("attn_norm.weight", "norm"),
    matrix("ssm_in.weight", "in_proj"),
    vector("ssm_conv1d.weight", "conv"),
    config.useConvBias ? vector("ssm_conv1d.bias", "conv_bias") : noBias(target("ssm_conv1d.bias"), config),
    vector("ssm_dt.bias", "dt_bias"),
    // [H, 1], and A itself: llama.cpp tells Mamba-1 from Mamba-2 by the shape.
    {
      ...vector("ssm_a", "A_log"),
      shape: [nHeads, 1],
      data: () => bytesOf(minusExp(checkpoint.read(source("A_log")))),
    },
    { ...vector("ssm_d", "D"), shape: [nHeads, 1] },
    { ...vector("ssm_norm.weight", "gate_norm"), shape: [nGroups, dInner / nGroups] },
    matrix("ssm_out.weight", "out_proj"),
  ];
}

function plain(checkpoint: Checkpoint, name: string, source: string, dtype = "F32"): GgufTensor {
  const { shape } = checkpoint.tensors.get(source)!;
  const half = dtype === "F16";
  const data = () => (half ? bytesOf(halves(checkpoint.read(source))) : bytesOf(checkpoint.read(source)));
  return { name, type: half ? F16 : F32, shape, data };
}

/** llama.cpp insists on this one. */
function noBias(name: string, { dInner, nGroups, dState }: Mamba2Config): GgufTensor {
  const channels = dInner + 2 * nGroups * dState;
  return { name, type: F32, shape: [channels], data: () => new Uint8Array(channels * 4) };
}

function minusExp(values: Float32Array): Float32Array {
  return values.map((value) => -Math.exp(value));
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** FP32 back to FP16, for numbers that were FP16: exact, so there is no rounding in it. */
export function halves(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  // A plain loop: Uint16Array.from takes minutes for a large model.
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = half(words[i]!);
  return out;
}

function half(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const exponent = ((word >>> 23) & 0xff) - 112;
  const mantissa = word & 0x7fffff;
  if (exponent > 0) return sign | (exponent << 10) | (mantissa >>> 13);
  // A subnormal, or zero: the implicit one becomes explicit and moves down.
  return exponent > -11 ? sign | ((mantissa | 0x800000) >>> (14 - exponent)) : sign;
}
