import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { badInput } from "../errors.ts";

export type JsonObject = Record<string, unknown>;

/** The largest vocabularies in use make files of about 35 MB. */
const MAX_TOKENIZER_BYTES = 128 * 1024 * 1024;
const MAX_CONFIG_BYTES = 1024 * 1024;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readJsonObject(file: string, maxBytes: number): JsonObject {
  const { size } = statSync(file);
  if (size > maxBytes) throw badInput("too large", { file, expected: `at most ${maxBytes} bytes`, found: size });
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw badInput(`not valid JSON: ${error.message}`, { file });
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
