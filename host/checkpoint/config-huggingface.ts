/** config.json as transformers writes it. Defaults are those of transformers' Mamba2Config. */

import { LightMambaError } from "../errors.ts";
import type { Fields } from "./fields.ts";
import { describe } from "./json.ts";
import { readShape, VOCABULARY } from "./shape.ts";
import type { Mamba2Config } from "./types.ts";

/** `norm_before_gate`, which some configurations carry, means nothing: transformers always gates first. */
export function huggingFaceConfig(fields: Fields): Mamba2Config {
  refuseVariants(fields);
  if (fields.get("quantization_config") !== undefined) {
    const detail = { file: fields.file, field: "quantization_config", expected: "F32, F16 or BF16 weights" };
    throw new LightMambaError("unsupported", "a quantized checkpoint is not supported", detail);
  }
  return plainConfig(fields);
}

/** The configuration without regard to how the weights are stored. */
export function plainConfig(fields: Fields): Mamba2Config {
  const vocabSize = fields.integer("vocab_size", VOCABULARY, 32768);
  const shape = readShape(vocabSize, {
    dModel: [fields, "hidden_size", 4096],
    nLayers: [fields, "num_hidden_layers", 64],
    expand: [fields, "expand", 2],
    headDim: [fields, "head_dim", 64],
    dState: [fields, "state_size", 128],
    nGroups: [fields, "n_groups", 8],
    convWidth: [fields, "conv_kernel", 4],
  });
  if ((fields.get("num_heads") ?? 128) !== shape.nHeads) {
    throw fields.error("num_heads", `expand * hidden_size / head_dim = ${shape.nHeads}`);
  }
  return {
    format: "huggingface",
    ...shape,
    vocabUsed: vocabSize,
    normEps: fields.positive("layer_norm_epsilon", 1, 1e-5),
    timeStepLimit: fields.interval("time_step_limit"),
    useBias: fields.boolean("use_bias", false),
    useConvBias: fields.boolean("use_conv_bias", true),
    tieEmbeddings: fields.boolean("tie_word_embeddings", false),
    bosTokenId: fields.tokenIds("bos_token_id", vocabSize, [0])[0],
    eosTokenIds: fields.tokenIds("eos_token_id", vocabSize, [2]),
  };
}

function refuseVariants(fields: Fields): void {
  const file = fields.file;
  const activation = fields.get("hidden_act") ?? "silu";
  if (activation !== "silu" && activation !== "swish") {
    const detail = { file, field: "hidden_act", expected: "silu", found: describe(activation) };
    throw new LightMambaError("unsupported", "the activation is not supported", detail);
  }
}
