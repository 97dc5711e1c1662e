/** Reads config.json of either form, and refuses by name what is not a Mamba-2. */

import { join } from "node:path";
import { badInput } from "../errors.ts";
import { notMamba2 } from "./architectures.ts";
import { huggingFaceConfig } from "./config-huggingface.ts";
import { stateSpacesConfig } from "./config-state-spaces.ts";
import { Fields } from "./fields.ts";
import { exists } from "./file.ts";
import { readJsonObject } from "./json.ts";
import type { Mamba2Config } from "./types.ts";

const CONFIG = "config.json";
const GENERATION = "generation_config.json";
const EXPECTED = 'a pure Mamba-2: model_type "mamba2", or the state-spaces form with ssm_cfg.layer "Mamba2"';

export function readConfig(directory: string): Mamba2Config {
  const path = join(directory, CONFIG);
  if (!exists(path)) throw badInput("the file is missing", { file: path, expected: "the model's configuration" });
  const fields = new Fields(path, readJsonObject(path));
  return withGenerationConfig(readModelConfig(fields), join(directory, GENERATION));
}

function readModelConfig(fields: Fields): Mamba2Config {
  const type = fields.get("model_type");
  if (type === "mamba2") return huggingFaceConfig(fields);
  if (typeof type === "string") throw notMamba2(fields, "model_type", type, EXPECTED);
  if (type !== undefined) throw fields.error("model_type", "a string");
  if (["d_model", "n_layer", "ssm_cfg"].some((key) => fields.has(key))) return stateSpacesConfig(fields);
  const [architecture] = [fields.get("architectures")].flat();
  if (typeof architecture === "string") throw notMamba2(fields, "architectures", architecture, EXPECTED);
  throw badInput("the field is missing", { file: fields.file, field: "model_type", expected: '"mamba2"' });
}

/** Generation settings, where given, override the model's: that is where transformers looks first. */
function withGenerationConfig(config: Mamba2Config, path: string): Mamba2Config {
  if (!exists(path)) return config;
  const fields = new Fields(path, readJsonObject(path));
  const ids = (key: string) => fields.tokenIds(key, config.vocabSize, []);
  const eosTokenIds = ids("eos_token_id");
  return {
    ...config,
    bosTokenId: ids("bos_token_id")[0] ?? config.bosTokenId,
    eosTokenIds: eosTokenIds.length > 0 ? eosTokenIds : config.eosTokenIds,
  };
}
