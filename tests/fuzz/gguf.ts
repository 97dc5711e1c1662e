/** A small right GGUF file, and ones that are well formed but for a few fields. */

import { type Gguf, ggufBytes, ggufOf, u32, u64, value } from "../checkpoint/gguf-writer.ts";
import { syntheticCheckpoint } from "../checkpoint/support.ts";
import { mutate, type Pick } from "./random.ts";
import { smallTokenizer } from "./seeds.ts";

let base: Gguf | undefined;

function baseGguf(): Gguf {
  if (base) return base;
  const { model } = smallTokenizer();
  const tokens = Object.keys(model.vocab).sort((a, b) => model.vocab[a] - model.vocab[b]);
  const gguf = ggufOf(syntheticCheckpoint({ hidden_size: 16, vocab_size: tokens.length }));
  gguf.metadata.set("tokenizer.ggml.model", value.string("gpt2"));
  gguf.metadata.set("tokenizer.ggml.pre", value.string("mpt"));
  gguf.metadata.set("tokenizer.ggml.tokens", value.strings(tokens));
  gguf.metadata.set("tokenizer.ggml.token_type", value.u32s(tokens.map((_, id) => (id === 0 ? 3 : 1))));
  gguf.metadata.set("tokenizer.ggml.merges", value.strings(model.merges.map((pair: string[]) => pair.join(" "))));
  base = gguf;
  return gguf;
}

/** `head`: bytes before the tensors'. */
export function gguf(): { bytes: Buffer; head: number } {
  const whole = baseGguf();
  const data = [...whole.tensors.values()].reduce((sum, tensor) => sum + Math.ceil(tensor.data.length / 32) * 32, 0);
  const bytes = ggufBytes(whole);
  return { bytes, head: bytes.length - data };
}

const NUMBERS = [0, 1, 2, 3, 7, 8, 16, 31, 32, 33, 64, 255, 256, 257, 4096, 2 ** 16, 2 ** 24, 2 ** 31, 2 ** 32 - 1];
const TYPES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 24, 26, 28, 30, 35, 39, 99];

function anyValue(pick: Pick): Buffer {
  const number = NUMBERS[pick(NUMBERS.length)]!;
  const strings = Array.from({ length: pick(4) }, () => String.fromCharCode(pick(0x500)));
  const kinds = [
    () => value.u32(number),
    () => value.f32(pick(2) === 0 ? Number.NaN : number),
    () => value.bool(pick(3)),
    () => value.string(strings.join("")),
    () => value.strings(strings),
    () => value.u32s([number, pick(8)]),
    () => Buffer.concat([u32(pick(14)), u64(number), u64(number)]),
    () => Buffer.concat([u32(9), u32(pick(14)), u64(number)]),
  ];
  return kinds[pick(kinds.length)]!();
}

function changeTensor(whole: Gguf, pick: Pick): void {
  const names = [...whole.tensors.keys()];
  const name = names[pick(names.length)]!;
  const tensor = { ...whole.tensors.get(name)! };
  const number = NUMBERS[pick(NUMBERS.length)]!;
  switch (pick(6)) {
    case 0:
      tensor.type = TYPES[pick(TYPES.length)]!;
      break;
    case 1:
      tensor.dims = tensor.dims.map((size) => (pick(tensor.dims.length) === 0 ? number : size));
      break;
    case 2:
      tensor.dims = pick(2) === 0 ? tensor.dims.slice(1) : [...tensor.dims, 1 + pick(2)];
      break;
    case 3:
      tensor.offset = number * (pick(2) === 0 ? 32 : 1);
      break;
    case 4:
      tensor.data = mutate(tensor.data, pick);
      break;
    default:
      whole.tensors.delete(name);
      if (pick(2) === 0) whole.tensors.set(`${name}x`, tensor);
      return;
  }
  whole.tensors.set(name, tensor);
}

export function mutatedGguf(pick: Pick): Buffer {
  const { metadata, tensors } = baseGguf();
  const whole: Gguf = { metadata: new Map(metadata), tensors: new Map(tensors) };
  for (let left = pick(3); left >= 0; left--) {
    const keys = [...whole.metadata.keys()];
    const key = keys[pick(keys.length)]!;
    const which = pick(10);
    if (which < 4) changeTensor(whole, pick);
    else if (which < 8) whole.metadata.set(key, anyValue(pick));
    else if (which === 8) whole.metadata.delete(key);
    else whole.metadata.set(pick(2) === 0 ? "general.alignment" : `x${pick(9)}`, anyValue(pick));
  }
  return ggufBytes(whole);
}
