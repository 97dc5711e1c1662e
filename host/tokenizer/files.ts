import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { badInput } from "../errors.ts";

export type JsonObject = Record<string, unknown>;

/** The largest vocabularies in use make files of about 35 MB. */
const MAX_TOKENIZER_BYTES = 128 * 1024 * 1024;
const MAX_CONFIG_BYTES = 1024 * 1024;
const DEEPEST = 64;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const OPENING = [0x5b, 0x7b];
const CLOSING = [0x5d, 0x7d];

/** JSON.parse takes any depth, but whatever walks its result would run out of stack. */
function checkDepth(bytes: Uint8Array, file: string): void {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte === QUOTE) quoted = !quoted;
    else if (byte === BACKSLASH) i++;
    else if (quoted || byte < OPENING[0]!) continue;
    else if (OPENING.includes(byte)) depth++;
    else if (CLOSING.includes(byte)) depth--;
    if (depth > DEEPEST)
      throw badInput("lists and objects too deep in one another", { file, expected: `at most ${DEEPEST}` });
  }
}

function readJsonObject(file: string, maxBytes: number): JsonObject {
  const { size } = statSync(file);
  if (size > maxBytes) throw badInput("too large", { file, expected: `at most ${maxBytes} bytes`, found: size });
  const bytes = readFileSync(file);
  checkDepth(bytes, file);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The message quotes the text with its line breaks.
    throw badInput(`not valid JSON: ${error.message.replaceAll(/\s+/g, " ")}`, { file });
  }
  if (!isObject(value)) throw badInput("not a JSON object", { file });
  return value;
}

/** A config file that a directory may lack. */
function readOptional(dir: string, name: string): JsonObject {
  const file = join(dir, name);
  return existsSync(file) ? readJsonObject(file, MAX_CONFIG_BYTES) : {};
}

export interface TokenizerFiles {
  dir: string;
  /** Path of tokenizer.json, for messages. */
  file: string;
  tokenizer: JsonObject;
  tokenizerConfig: JsonObject;
  generationConfig: JsonObject;
  modelConfig: JsonObject;
}

export function readTokenizerFiles(dir: string): TokenizerFiles {
  const file = join(dir, "tokenizer.json");
  if (!existsSync(file)) {
    const hint = "the directory needs the tokenizer.json that was published with the checkpoint";
    throw badInput("no such file", { file, hint });
  }
  return {
    dir,
    file,
    tokenizer: readJsonObject(file, MAX_TOKENIZER_BYTES),
    tokenizerConfig: readOptional(dir, "tokenizer_config.json"),
    generationConfig: readOptional(dir, "generation_config.json"),
    modelConfig: readOptional(dir, "config.json"),
  };
}
