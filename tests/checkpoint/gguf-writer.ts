/** Writes GGUF files, right ones and wrong ones, and the blocks of ggml by their definitions: slow, and on its own. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import type { Checkpoint, Mamba2Config } from "../../host/checkpoint/types.ts";

/** Types of values by their numbers in the file. */
export const V = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  f64: 12,
};
export const TENSOR_TYPES: Record<string, [number: number, elements: number, bytes: number]> = {
  F32: [0, 1, 4],
  F16: [1, 1, 2],
  Q4_0: [2, 32, 18],
  Q4_1: [3, 32, 20],
  Q5_0: [6, 32, 22],
  Q5_1: [7, 32, 24],
  Q8_0: [8, 32, 34],
  Q4_K: [12, 256, 144],
  Q5_K: [13, 256, 176],
  Q6_K: [14, 256, 210],
  BF16: [30, 1, 2],
};

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

/** A key's type and value as bytes. */
export const value = {
  u32: (number: number) => Buffer.concat([u32(V.u32), u32(number)]),
  f32: (number: number) => Buffer.concat([u32(V.f32), f32(number)]),
  bool: (byte: number) => Buffer.concat([u32(V.bool), Buffer.from([byte])]),
  string: (content: string) => Buffer.concat([u32(V.string), text(content)]),
  strings: (items: string[]) => Buffer.concat([u32(V.array), u32(V.string), u64(items.length), ...items.map(text)]),
  u32s: (items: number[]) => Buffer.concat([u32(V.array), u32(V.u32), u64(items.length), ...items.map(u32)]),
};

export interface Tensor {
  type: number;
  /** Innermost first, as the file has them. */
  dims: number[];
  data: Uint8Array;
  /** Where the writer would not put it. */
  offset?: number;
}

export interface Gguf {
  magic?: string;
  version?: number;
  tensorCount?: number | bigint;
  keyCount?: number | bigint;
  alignment?: number;
  metadata: Map<string, Buffer>;
  tensors: Map<string, Tensor>;
}

const up = (size: number, to: number) => Math.ceil(size / to) * to;

export function ggufBytes(gguf: Gguf): Buffer {
  const { magic = "GGUF", version = 3, alignment = 32, metadata, tensors } = gguf;
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let end = 0;
  for (const [name, { type, dims, data: bytes, offset = end }] of tensors) {
    infos.push(text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset));
    data.push(Buffer.from(bytes), Buffer.alloc(up(bytes.length, alignment) - bytes.length));
    end += up(bytes.length, alignment);
  }
  const keys = [...metadata].flatMap(([key, bytes]) => [text(key), bytes]);
  const counts = [u64(gguf.tensorCount ?? tensors.size), u64(gguf.keyCount ?? metadata.size)];
  const head = Buffer.concat([Buffer.from(magic), u32(version), ...counts, ...keys, ...infos]);
  return Buffer.concat([head, Buffer.alloc(up(head.length, alignment) - head.length), ...data]);
}

const PARTS: Record<string, string> = {
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
};

/** llama.cpp's name of a tensor. */
export function ggufName(name: string): string {
  const whole: Record<string, string> = {
    embedding: "token_embd.weight",
    final_norm: "output_norm.weight",
    lm_head: "output.weight",
  };
  if (whole[name] !== undefined) return whole[name];
  const [, layer, part] = name.split(".");
  return `blk.${layer}.${PARTS[part!]}`;
}

export function sizesOf(config: Mamba2Config): Map<string, Buffer> {
  const { dModel, nLayers, convWidth, dInner, dState, nHeads, nGroups, normEps, vocabSize } = config;
  const { bosTokenId, eosTokenIds } = config;
  return new Map([
    ["general.architecture", value.string("mamba2")],
    ["general.name", value.string("test")],
    ["mamba2.context_length", value.u32(2 ** 20)],
    ["mamba2.embedding_length", value.u32(dModel)],
    ["mamba2.block_count", value.u32(nLayers)],
    ["mamba2.ssm.conv_kernel", value.u32(convWidth)],
    ["mamba2.ssm.inner_size", value.u32(dInner)],
    ["mamba2.ssm.state_size", value.u32(dState)],
    ["mamba2.ssm.time_step_rank", value.u32(nHeads)],
    ["mamba2.ssm.group_count", value.u32(nGroups)],
    ["mamba2.attention.layer_norm_rms_epsilon", value.f32(normEps)],
    ["mamba2.vocab_size", value.u32(vocabSize)],
    ...(bosTokenId === undefined ? [] : [["tokenizer.ggml.bos_token_id", value.u32(bosTokenId)] as const]),
    ...(eosTokenIds.length === 0 ? [] : [["tokenizer.ggml.eos_token_id", value.u32(eosTokenIds[0]!)] as const]),
  ]);
}

export interface TokenizerJson {
  model: { vocab: Record<string, number>; merges: [string, string][] };
  added_tokens: { id: number }[];
}

/** The keys of a byte-level BPE tokenizer. */
export function tokenizerKeys(directory: string, pre: string): Map<string, Buffer> {
  const json = JSON.parse(readFileSync(join(directory, "tokenizer.json"), "utf8")) as TokenizerJson;
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(json.model.vocab)) tokens[id] = token;
  const types = tokens.map(() => 1);
  for (const { id } of json.added_tokens) types[id] = 3;
  return new Map([
    ["tokenizer.ggml.model", value.string("gpt2")],
    ["tokenizer.ggml.pre", value.string(pre)],
    ["tokenizer.ggml.tokens", value.strings(tokens)],
    ["tokenizer.ggml.token_type", value.u32s(types)],
    ["tokenizer.ggml.merges", value.strings(json.model.merges.map((pair) => pair.join(" ")))],
  ]);
}

/** FP32 values to the bytes of a type; a matrix goes to `type`, everything else stays FP32. */
export type Encode = (values: Float32Array) => Uint8Array;

function tensorOf(checkpoint: Checkpoint, name: string, type: string, encode: Encode): Tensor {
  const { shape } = checkpoint.tensors.get(name)!;
  const { nGroups, dInner, nHeads } = checkpoint.config;
  const values = checkpoint.read(name);
  const part = name.split(".").at(-1)!;
  const dims = [...shape].reverse();
  const full = (given: number[], stored: Float32Array) => {
    return { type: 0, dims: given, data: new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength) };
  };
  if (part === "A_log")
    return full(
      [1, nHeads],
      values.map((x) => -Math.exp(x)),
    );
  if (part === "D") return full([1, nHeads], values);
  if (part === "gate_norm") return full([dInner / nGroups, nGroups], values);
  const [number, elements] = TENSOR_TYPES[type]!;
  const matrix = shape.length === 2 && part !== "conv" && dims[0]! % elements === 0;
  return matrix ? { type: number, dims, data: encode(values) } : full(dims, values);
}

/** A checkpoint as llama.cpp would convert it. */
export function ggufOf(directory: string, type = "F32", encode: Encode = asF32): Gguf {
  const checkpoint = openCheckpoint(directory);
  const tensors = new Map<string, Tensor>();
  for (const name of checkpoint.tensors.keys()) tensors.set(ggufName(name), tensorOf(checkpoint, name, type, encode));
  checkpoint.close();
  return { metadata: sizesOf(checkpoint.config), tensors };
}

export const asF32: Encode = (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

export function writeGguf(path: string, gguf: Gguf): string {
  writeFileSync(path, ggufBytes(gguf));
  return path;
}
