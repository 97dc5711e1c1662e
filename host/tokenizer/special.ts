import { join } from "node:path";
import { badInput } from "../errors.ts";
import { isObject, type JsonObject, type TokenizerFiles } from "./files.ts";
import { type Structure, shown } from "./structure.ts";

function idsIn(config: JsonObject, field: string, size: number, file: string): number[] {
  const value = config[field];
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).map((id: unknown) => {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < size) return id;
    const expected = `a whole number from 0 to ${size - 1}`;
    throw badInput("names a token that does not exist", {
      file,
      field,
      expected,
      found: shown(id),
    });
  });
}

/** tokenizer_config.json names the token itself, as a string or as an object with its content. */
function idOfNamed(config: JsonObject, field: string, { vocab, addedTokens }: Structure): number[] {
  const value = config[field];
  const content = isObject(value) ? value.content : value;
  if (typeof content !== "string") return [];
  const id = addedTokens.find((token) => token.content === content)?.id ?? vocab.get(content);
  return id === undefined ? [] : [id];
}

/** The generation settings are the model authors' word on generating; then the tokenizer's, then the model's. */
function find(files: TokenizerFiles, structure: Structure, name: "bos" | "eos"): number[] {
  const field = `${name}_token_id`;
  const forGenerating = join(files.dir, "generation_config.json");
  const generation = idsIn(files.generationConfig, field, structure.size, forGenerating);
  if (generation.length > 0) return generation;
  const own = idOfNamed(files.tokenizerConfig, `${name}_token`, structure);
  return own.length > 0 ? own : idsIn(files.modelConfig, field, structure.size, join(files.dir, "config.json"));
}

export interface SpecialIds {
  eosTokenIds: readonly number[];
  bosTokenId: number | undefined;
}

export function specialIds(files: TokenizerFiles, structure: Structure): SpecialIds {
  return { eosTokenIds: find(files, structure, "eos"), bosTokenId: find(files, structure, "bos")[0] };
}
