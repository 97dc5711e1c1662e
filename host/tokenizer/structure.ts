import { printable } from "../checkpoint/file.ts";
import { badInput, LightMambaError } from "../errors.ts";
import { BYTE_SYMBOLS } from "./bytes.ts";
import { isObject, type JsonObject } from "./files.ts";

export interface AddedToken {
  id: number;
  content: string;
}

/** What we need of tokenizer.json, checked. */
export interface Structure {
  vocab: Map<string, number>;
  addedTokens: AddedToken[];
  /** Largest id + 1. */
  size: number;
}

/** An id beyond this is a fault in the file: it would make us allocate without bound. */
const MAX_ID = (1 << 24) - 1;

const LONGEST_SHOWN = 120;

/** Any value, on one line and not too long. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

function checkId(id: unknown, file: string, field: string): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id;
  const expected = `a whole number from 0 to ${MAX_ID}`;
  throw badInput("not a token id", { file, field, expected, found: shown(id) });
}

/** The steps of a normalizer, pre-tokenizer or decoder, with sequences taken apart. */
function stepTypes(part: unknown, listName: string): string[] {
  if (part === null || part === undefined) return [];
  if (!isObject(part) || typeof part.type !== "string") return ["nothing"];
  const inner = part[listName];
  return part.type === "Sequence" && Array.isArray(inner)
    ? inner.flatMap((step) => stepTypes(step, listName))
    : [part.type];
}

function checkSteps(types: string[], known: readonly string[], file: string, field: string): void {
  const stranger = types.find((type) => !known.includes(type));
  if (stranger === undefined) return;
  const detail = { file, field, expected: known.join(", "), found: printable(stranger) };
  const hint = "only byte-level BPE tokenizers can be used";
  throw new LightMambaError("unsupported", "has a step of another type", { ...detail, hint });
}

/** Only byte-level BPE: there every id stands for fixed bytes, and streaming and lossless decoding rest on that. */
function checkPipeline(tokenizer: JsonObject, file: string): void {
  checkSteps(stepTypes(tokenizer.normalizer, "normalizers"), ["NFC", "NFD", "NFKC", "NFKD"], file, "normalizer");
  const splits = stepTypes(tokenizer.pre_tokenizer, "pretokenizers");
  checkSteps(splits, ["ByteLevel", "Split", "Digits"], file, "pre_tokenizer");
  if (splits.at(-1) !== "ByteLevel") checkSteps(["nothing"], ["ByteLevel at the end"], file, "pre_tokenizer");
  const decoders = stepTypes(tokenizer.decoder, "decoders");
  checkSteps(decoders.length === 0 ? ["nothing"] : decoders, ["ByteLevel"], file, "decoder");
}

function readModel(tokenizer: JsonObject, file: string): { vocab: Map<string, number>; merges: unknown[] } {
  const { model } = tokenizer;
  if (!isObject(model)) throw badInput("missing or no object", { file, field: "model" });
  // Old files leave the type out; vocabulary and merges say what it is.
  checkSteps([String(model.type ?? "BPE")], ["BPE"], file, "model");
  if (!isObject(model.vocab)) throw badInput("missing or no object", { file, field: "model.vocab" });
  if (!Array.isArray(model.merges)) throw badInput("missing or no list", { file, field: "model.merges" });
  for (const name of ["byte_fallback", "dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    // Empty, zero and false mean "off" as null does.
    if (!model[name]) continue;
    throw new LightMambaError("unsupported", "not supported", { file, field: `model.${name}` });
  }
  const entries = Object.entries(model.vocab);
  const vocab = new Map(entries.map(([token, id]) => [token, checkId(id, file, `model.vocab["${printable(token)}"]`)]));
  return { vocab, merges: model.merges };
}

function checkMerges(merges: unknown[], vocab: Map<string, number>, file: string): void {
  merges.forEach((merge, index) => {
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const field = `model.merges[${index}]`;
    if (!Array.isArray(parts) || parts.length !== 2 || !parts.every((part) => typeof part === "string")) {
      throw badInput("not a pair of tokens", { file, field, found: shown(merge) });
    }
    const token = parts.join("");
    if (!vocab.has(token))
      throw badInput("makes a token that the vocabulary lacks", { file, field, found: printable(token) });
  });
}

function readAddedTokens(tokenizer: JsonObject, file: string): AddedToken[] {
  const list = tokenizer.added_tokens ?? [];
  if (!Array.isArray(list)) throw badInput("not a list", { file, field: "added_tokens" });
  return list.map((token: unknown, index) => {
    const field = `added_tokens[${index}]`;
    if (!isObject(token) || typeof token.content !== "string" || token.content === "") {
      throw badInput("has no content", { file, field });
    }
    if (token.single_word === true) {
      throw new LightMambaError("unsupported", "single_word is not supported", { file, field });
    }
    return { id: checkId(token.id, file, `${field}.id`), content: token.content };
  });
}

/** Every text must be encodable: each byte that occurs in UTF-8 has a token. */
function checkByteTokens(vocab: Map<string, number>, file: string): void {
  BYTE_SYMBOLS.forEach((symbol, byte) => {
    const inUtf8 = byte < 0xc0 || (byte >= 0xc2 && byte <= 0xf4);
    if (!inUtf8 || vocab.has(symbol)) return;
    throw badInput("lacks the token of a byte", { file, field: "model.vocab", expected: symbol, found: "none" });
  });
}

export function readStructure(tokenizer: JsonObject, file: string): Structure {
  checkPipeline(tokenizer, file);
  const { vocab, merges } = readModel(tokenizer, file);
  checkMerges(merges, vocab, file);
  checkByteTokens(vocab, file);
  const addedTokens = readAddedTokens(tokenizer, file);
  let size = 0;
  for (const id of vocab.values()) size = Math.max(size, id + 1);
  for (const { id } of addedTokens) size = Math.max(size, id + 1);
  return { vocab, addedTokens, size };
}
