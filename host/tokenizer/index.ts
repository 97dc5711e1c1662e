import { existsSync } from "node:fs";
import { join } from "node:path";
import { badInput } from "../errors.ts";
import { tokenBytes } from "./bytes.ts";
import { makeEncoder } from "./encoder.ts";
import { readTokenizerFiles } from "./files.ts";
import { specialIds } from "./special.ts";
import { makeStreamDecoder, type StreamDecoder } from "./stream.ts";
import { readStructure, type Structure } from "./structure.ts";

export type { StreamDecoder } from "./stream.ts";

/** What belongs to a tokenizer; the first must be there. */
export const TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json"] as const;

export function hasTokenizer(dir: string): boolean {
  return existsSync(join(dir, TOKENIZER_FILES[0]));
}

/** Text to token ids and back, just as the checkpoint's own tokenizer does it. */
export interface Tokenizer {
  /** Path of tokenizer.json, for messages. */
  readonly file: string;
  /** Largest id + 1. */
  readonly size: number;
  /** Ids that end a text; may be empty. */
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
  encode(text: string): number[];
  /** Special tokens appear as their text. Ids without a token (padding rows of a model) stand for nothing. */
  decode(ids: readonly number[]): string;
  streamDecoder(): StreamDecoder;
}

const NO_BYTES = new Uint8Array(0);

/** The bytes that each id stands for, computed when first asked for. */
function makeByteTable({ vocab, addedTokens, size }: Structure): (id: number) => Uint8Array {
  const tokens = new Array<string | undefined>(size);
  for (const [token, id] of vocab) tokens[id] = token;
  const table = new Array<Uint8Array | undefined>(size);
  // An added token is text as it stands, not byte symbols.
  for (const { id, content } of addedTokens) table[id] = new TextEncoder().encode(content);
  return (id) => {
    if (!Number.isInteger(id) || id < 0) {
      throw badInput("not a token id", { expected: "a whole number from 0", found: id });
    }
    if (id >= size) return NO_BYTES;
    const token = tokens[id];
    table[id] ??= token === undefined ? NO_BYTES : tokenBytes(token);
    return table[id];
  };
}

/** Reads tokenizer.json and the configuration files beside it. Throws `badInput` or `unsupported`. */
export function loadTokenizer(dir: string): Tokenizer {
  const files = readTokenizerFiles(dir);
  const structure = readStructure(files.tokenizer, files.file);
  const bytesOf = makeByteTable(structure);
  let encode: ((text: string) => number[]) | undefined;
  return {
    file: files.file,
    size: structure.size,
    ...specialIds(files, structure),
    encode(text) {
      encode ??= makeEncoder(files);
      return encode(text);
    },
    // Joined before they are decoded: a character may be spread over several tokens. (The library's own decoder also
    // refuses an empty list and, unless told otherwise, "cleans up" spaces.)
    decode: (ids) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(ids.map(bytesOf))),
    streamDecoder: () => makeStreamDecoder(bytesOf),
  };
}

/** A model with fewer rows than the tokenizer has ids belongs to another tokenizer. More rows are padding. */
export function checkTokenizer(tokenizer: Tokenizer, vocabUsed: number): void {
  if (tokenizer.size <= vocabUsed) return;
  throw badInput("has more token ids than the model has embeddings", {
    file: tokenizer.file,
    expected: `at most ${vocabUsed}`,
    found: tokenizer.size,
    hint: "the tokenizer and the model must come from the same checkpoint",
  });
}
