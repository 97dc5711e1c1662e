/** The tokenizer in a GGUF file's metadata, as the tokenizer.json that byte-level BPE has elsewhere. */

import { badInput, LightMambaError } from "../errors.ts";
import type { Fields } from "./fields.ts";
import { describe, type JsonObject, type JsonValue } from "./json.ts";

export interface Vocabulary {
  /** By id. */
  tokens: string[];
  /** llama.cpp's kinds: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte. */
  types: number[];
}

const MODEL = "tokenizer.ggml.model";
const TOKENS = "tokenizer.ggml.tokens";
const TYPES = "tokenizer.ggml.token_type";
const MERGES = "tokenizer.ggml.merges";
const PRE = "tokenizer.ggml.pre";
/** The keys that are lists. */
export const TOKENIZER_LISTS = [TOKENS, TYPES, MERGES];
const [NORMAL, CONTROL, USER_DEFINED, UNUSED, HIGHEST_TYPE] = [1, 3, 4, 5, 6];
const PADDING = /^\[PAD[0-9]+\]$/;

const BYTE_LEVEL = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const DIGITS_FIRST = { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, BYTE_LEVEL] };
const NFC = { type: "NFC" };

/**
 * How a text is split, and normalized, by the name that llama.cpp gives it: names that stand for GPT-2's pattern, and
 * those that take digits one by one first. The normal form is not in a GGUF file: NFC is that of the GPT-NeoX tokenizer,
 * which these names stand for and nearly every Mamba-2 has.
 */
const SPLITS: Record<string, { split: JsonValue; normalizer: JsonValue }> = {
  "gpt-2": { split: BYTE_LEVEL, normalizer: null },
  mpt: { split: BYTE_LEVEL, normalizer: NFC },
  olmo: { split: BYTE_LEVEL, normalizer: NFC },
  starcoder: { split: DIGITS_FIRST, normalizer: null },
  refact: { split: DIGITS_FIRST, normalizer: null },
  smollm: { split: DIGITS_FIRST, normalizer: null },
};

/** Undefined where the file has no tokens. */
export function readVocabulary(fields: Fields): Vocabulary | undefined {
  if (!fields.has(TOKENS)) return undefined;
  const tokens = strings(fields, TOKENS);
  if (tokens.length === 0) throw fields.error(TOKENS, "at least one token");
  const types = fields.get(TYPES) ?? tokens.map(() => NORMAL);
  const isType = (type: JsonValue) =>
    Number.isInteger(type) && (type as number) >= 1 && (type as number) <= HIGHEST_TYPE;
  if (!Array.isArray(types) || types.length !== tokens.length || !types.every(isType)) {
    throw fields.error(TYPES, `${tokens.length} numbers from 1 to ${HIGHEST_TYPE}`);
  }
  return { tokens, types: types as number[] };
}

/** A row that no token stands for. */
export function isPaddingToken({ tokens, types }: Vocabulary, id: number): boolean {
  return types[id] === UNUSED && PADDING.test(tokens[id]!);
}

/** tokenizer.json and tokenizer_config.json. */
export function tokenizerFiles(fields: Fields, vocabulary: Vocabulary): Map<string, Uint8Array> {
  const model = fields.get(MODEL);
  if (model !== "gpt2") throw unsupported(fields, MODEL, '"gpt2": byte-level BPE');
  const pre = fields.get(PRE);
  const known = typeof pre === "string" && Object.hasOwn(SPLITS, pre) ? SPLITS[pre] : undefined;
  if (!known) throw unsupported(fields, PRE, Object.keys(SPLITS).join(", "));
  if (fields.get("tokenizer.ggml.add_bos_token") === true) {
    throw unsupported(fields, "tokenizer.ggml.add_bos_token", "false");
  }
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    normalizer: known.normalizer,
    pre_tokenizer: known.split,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: { type: "BPE", vocab: vocabularyOf(fields, vocabulary), merges: merges(fields) },
  };
  return new Map([
    ["tokenizer.json", encode(tokenizer)],
    ["tokenizer_config.json", encode(tokenizerConfig(fields, vocabulary))],
  ]);
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`);
}

function strings(fields: Fields, key: string): string[] {
  const list = fields.get(key);
  if (!Array.isArray(list) || !list.every((item) => typeof item === "string"))
    throw fields.error(key, "a list of texts");
  return list as string[];
}

function addedTokens({ tokens, types }: Vocabulary) {
  const flags = { single_word: false, lstrip: false, rstrip: false };
  return tokens.flatMap((content, id) => {
    const special = types[id] === CONTROL;
    if (!special && types[id] !== USER_DEFINED) return [];
    return [{ id, content, ...flags, normalized: !special, special }];
  });
}

function vocabularyOf(fields: Fields, { tokens, types }: Vocabulary): JsonObject {
  const vocab: JsonObject = Object.create(null);
  tokens.forEach((token, id) => {
    if (types[id] === UNUSED) return;
    if (token in vocab) {
      const detail = {
        file: fields.file,
        field: `${TOKENS}[${id}]`,
        found: `${describe(token)} as ${vocab[token]} too`,
      };
      throw badInput("the token is listed twice", detail);
    }
    vocab[token] = id;
  });
  return vocab;
}

/** Two tokens with a space between them; a token itself never holds one. */
function merges(fields: Fields): [string, string][] {
  return strings(fields, MERGES).map((merge, i) => {
    const parts = merge.split(" ");
    if (parts.length === 2 && parts[0] !== "" && parts[1] !== "") return parts as [string, string];
    const detail = { file: fields.file, field: `${MERGES}[${i}]`, expected: "two tokens", found: describe(merge) };
    throw badInput("not a pair of tokens", detail);
  });
}

function tokenizerConfig(fields: Fields, { tokens }: Vocabulary) {
  const named = (name: string) => {
    const [id] = fields.tokenIds(`tokenizer.ggml.${name}_token_id`, tokens.length, []);
    return id === undefined ? {} : { [`${name}_token`]: tokens[id] };
  };
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...named("bos"),
    ...named("eos"),
    add_prefix_space: false,
    clean_up_tokenization_spaces: false,
  };
}

function unsupported(fields: Fields, key: string, expected: string): LightMambaError {
  const hint = "put the tokenizer.json that was published with the checkpoint beside the GGUF file";
  const detail = { file: fields.file, field: key, expected, found: describe(fields.get(key)), hint };
  return new LightMambaError("unsupported", "the tokenizer in the file is not supported", detail);
}
