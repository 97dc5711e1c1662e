/** tokenizer.json, a byte-level BPE, as the keys of GGUF's "gpt2" tokenizer. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Mamba2Config } from "../host/checkpoint/types.ts";
import { LightMambaError } from "../host/errors.ts";
import type { GgufValue } from "./gguf-format.ts";

/** GGUF's kinds of token. */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;

interface TokenizerJson {
  model: { type: string; vocab: Record<string, number>; merges: (string | [string, string])[] };
  pre_tokenizer: { type: string; use_regex?: boolean } | null;
  added_tokens: { id: number; content: string; special: boolean }[];
}

/** Without a tokenizer.json the file gets no vocabulary: ids in, logits out is all that can be done with it. */
export function tokenizerKeys(directory: string, config: Mamba2Config): [string, GgufValue][] {
  const path = join(directory, "tokenizer.json");
  if (!existsSync(path)) {
    return [
      ["mamba2.vocab_size", { type: "u32", value: config.vocabSize }],
      ["tokenizer.ggml.model", { type: "string", value: "no_vocab" }],
    ];
  }
  const tokenizer = JSON.parse(readFileSync(path, "utf8")) as TokenizerJson;
  checkKind(tokenizer, path);
  const { tokens, types } = listTokens(tokenizer, config.vocabSize);
  const merges = tokenizer.model.merges.map((pair) => (typeof pair === "string" ? pair : pair.join(" ")));
  return [
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    // Splits with GPT-2's regular expression, which is what ByteLevel with use_regex does.
    ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
    ["tokenizer.ggml.tokens", { type: "strings", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "i32s", value: types }],
    ["tokenizer.ggml.merges", { type: "strings", value: merges }],
    ...specialKeys(config),
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
  ];
}

function specialKeys({ bosTokenId, eosTokenIds }: Mamba2Config): [string, GgufValue][] {
  const keys: [string, GgufValue][] = [];
  if (bosTokenId !== undefined) keys.push(["tokenizer.ggml.bos_token_id", { type: "u32", value: bosTokenId }]);
  const [eos] = eosTokenIds;
  if (eos !== undefined) keys.push(["tokenizer.ggml.eos_token_id", { type: "u32", value: eos }]);
  return keys;
}

function checkKind({ model, pre_tokenizer: split }: TokenizerJson, file: string): void {
  if (model.type === "BPE" && split?.type === "ByteLevel" && split.use_regex !== false) return;
  const expected = "BPE with the pre-tokenizer ByteLevel";
  throw new LightMambaError("unsupported", "the tokenizer is of another kind", {
    file,
    expected,
    found: `${model.type} with ${split?.type ?? "none"}`,
  });
}

/** One token for each row of the embedding: rows beyond the vocabulary are padding. */
function listTokens({ model, added_tokens: added }: TokenizerJson, rows: number) {
  const tokens = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(rows).fill(UNUSED);
  const set = (id: number, text: string, type: number) => {
    if (id >= rows) return;
    tokens[id] = text;
    types[id] = type;
  };
  for (const [text, id] of Object.entries(model.vocab)) set(id, text, NORMAL);
  for (const { id, content, special } of added) set(id, content, special ? CONTROL : USER_DEFINED);
  return { tokens, types };
}
