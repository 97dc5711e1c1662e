/** Models that are not Mamba-2, refused by name: by model_type in config.json, by general.architecture in GGUF. */

import { LightMambaError } from "../errors.ts";
import type { Fields } from "./fields.ts";
import { printable } from "./file.ts";

const KINDS: { [modelType: string]: string } = {
  mamba: "a Mamba-1 model",
  falcon_mamba: "a Mamba-1 model",
  bamba: "a hybrid of Mamba and attention",
  falcon_h1: "a hybrid of Mamba and attention",
  "falcon-h1": "a hybrid of Mamba and attention",
  granitemoehybrid: "a hybrid of Mamba and attention",
  granitehybrid: "a hybrid of Mamba and attention",
  jamba: "a hybrid of Mamba and attention",
  nemotron_h: "a hybrid of Mamba and attention",
  plamo2: "a hybrid of Mamba and attention",
  zamba: "a hybrid of Mamba and attention",
  zamba2: "a hybrid of Mamba and attention",
};

export function notMamba2(fields: Fields, field: string, found: string, expected: string): LightMambaError {
  const kind = Object.hasOwn(KINDS, found) ? KINDS[found] : "not a Mamba-2 model";
  const what = `"${printable(found)}" is ${kind}, which is not supported`;
  return new LightMambaError("unsupported", what, { file: fields.file, field, expected });
}
