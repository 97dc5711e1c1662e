/**
 * config.json as the original code writes it. Defaults are those of state-spaces/mamba: mamba_ssm/models/config_mamba.py
 * (the model) and mamba_ssm/modules/mamba2.py (`ssm_cfg`).
 */

import { LightMambaError } from "../errors.ts";
import type { Fields } from "./fields.ts";
import { describe, type JsonValue } from "./json.ts";
import { readShape, VOCABULARY } from "./shape.ts";
import type { Mamba2Config } from "./types.ts";

/** Fixed in that code, not configurable. */
const NORM_EPS = 1e-5;

export function stateSpacesConfig(fields: Fields): Mamba2Config {
  const ssm = fields.nested("ssm_cfg");
  refuseVariants(fields, ssm);
  const vocabUsed = fields.integer("vocab_size", VOCABULARY);
  const multiple = fields.integer("pad_vocab_size_multiple", VOCABULARY, 8);
  const shape = readShape(Math.ceil(vocabUsed / multiple) * multiple, {
    dModel: [fields, "d_model"],
    nLayers: [fields, "n_layer"],
    expand: [ssm, "expand", 2],
    headDim: [ssm, "headdim", 64],
    dState: [ssm, "d_state", 128],
    nGroups: [ssm, "ngroups", 1],
    convWidth: [ssm, "d_conv", 4],
  });
  const width = ssm.get("d_ssm") ?? shape.dInner;
  if (width !== shape.dInner) throw unsupported(ssm, "d_ssm", shape.dInner);
  return {
    format: "state-spaces",
    ...shape,
    vocabUsed,
    normEps: NORM_EPS,
    timeStepLimit: ssm.interval("dt_limit"),
    useBias: ssm.boolean("bias", false),
    useConvBias: ssm.boolean("conv_bias", true),
    tieEmbeddings: fields.boolean("tie_embeddings", true),
    bosTokenId: undefined,
    eosTokenIds: [],
  };
}

function refuseVariants(fields: Fields, ssm: Fields): void {
  const layer = ssm.get("layer") ?? "Mamba1";
  if (layer !== "Mamba2") {
    const detail = { file: fields.file, field: ssm.name("layer"), expected: '"Mamba2"', found: describe(layer) };
    throw new LightMambaError("unsupported", "the layers are not Mamba-2 and not supported", detail);
  }
  const attention = fields.get("attn_layer_idx") ?? [];
  if (!Array.isArray(attention)) throw fields.error("attn_layer_idx", "a list");
  if (attention.length > 0) throw unsupported(fields, "attn_layer_idx", "no attention layers: a hybrid");
  if ((fields.get("d_intermediate") ?? 0) !== 0) throw unsupported(fields, "d_intermediate", "0: no MLP layers");
  const only = (of: Fields, key: string, value: boolean) => {
    if (of.boolean(key, value) !== value) throw unsupported(of, key, value);
  };
  only(fields, "rms_norm", true);
  only(ssm, "rmsnorm", true);
  only(ssm, "norm_before_gate", false);
  only(ssm, "D_has_hdim", false);
}

function unsupported(fields: Fields, key: string, expected: JsonValue): LightMambaError {
  const found = describe(fields.get(key));
  const detail = { file: fields.file, field: fields.name(key), expected: String(expected), found };
  return new LightMambaError("unsupported", "this variant of the model is not supported", detail);
}
