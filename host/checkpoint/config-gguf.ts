/** The configuration in a GGUF file's metadata, by the keys that llama.cpp's conversion script writes. */

import { LightMambaError } from "../errors.ts";
import { notMamba2 } from "./architectures.ts";
import { Fields } from "./fields.ts";
import type { GgufHead } from "./gguf.ts";
import type { Selection } from "./gguf-metadata.ts";
import { isPaddingToken, TOKENIZER_LISTS, type Vocabulary } from "./gguf-tokenizer.ts";
import { NAMINGS } from "./naming.ts";
import { readShape, VOCABULARY } from "./shape.ts";
import type { Mamba2Config } from "./types.ts";

const ARCHITECTURE = "general.architecture";
const SPLITS = "split.count";
const INNER = "mamba2.ssm.inner_size";
const HEADS = "mamba2.ssm.time_step_rank";
const WIDTH = "mamba2.embedding_length";
const LARGEST_INNER = 2 ** 23;

/** The keys that are read here and for the tokenizer. */
export const selectKey: Selection = (key) => {
  if (TOKENIZER_LISTS.includes(key)) return "list";
  return key === ARCHITECTURE || key === SPLITS || /^(mamba2|tokenizer\.ggml)\./.test(key) ? "value" : undefined;
};

/** Refuses by name what is not a whole Mamba-2. */
export function checkArchitecture(fields: Fields): void {
  const architecture = fields.get(ARCHITECTURE);
  if (typeof architecture !== "string") throw fields.error(ARCHITECTURE, '"mamba2"');
  if (architecture !== "mamba2") throw notMamba2(fields, ARCHITECTURE, architecture, '"mamba2"');
  const splits = fields.integer(SPLITS, [0, 2 ** 16 - 1], 1);
  if (splits > 1) {
    const detail = { file: fields.file, field: SPLITS, expected: 1, found: splits };
    const hint = "join the parts with llama.cpp's gguf-split --merge";
    throw new LightMambaError("unsupported", "a GGUF in parts is not supported", { ...detail, hint });
  }
}

export function ggufConfig(fields: Fields, { tensors }: GgufHead, vocabulary: Vocabulary | undefined): Mamba2Config {
  const vocabSize = fields.integer("mamba2.vocab_size", VOCABULARY, vocabulary?.tokens.length);
  const ids = (name: string) => fields.tokenIds(`tokenizer.ggml.${name}_token_id`, vocabSize, []);
  const { parts, layers, head } = NAMINGS.gguf;
  const inFirstLayer = (part: keyof typeof parts) => tensors.has(`${layers}.0.${parts[part]}`);
  return {
    format: "gguf",
    ...ggufShape(fields, vocabSize),
    vocabUsed: usedRows(fields, vocabulary, vocabSize),
    normEps: fields.positive("mamba2.attention.layer_norm_rms_epsilon", 1),
    // llama.cpp knows no limits.
    timeStepLimit: [0, Number.POSITIVE_INFINITY],
    useBias: inFirstLayer("in_proj_bias"),
    useConvBias: inFirstLayer("conv_bias"),
    tieEmbeddings: !tensors.has(head),
    bosTokenId: ids("bos")[0],
    eosTokenIds: [...new Set([...ids("eos"), ...ids("eot")])],
  };
}

/** GGUF gives the inner size and the number of heads, where the others give the factor and the size of a head. */
function ggufShape(fields: Fields, vocabSize: number) {
  const inner = fields.integer(INNER, [1, LARGEST_INNER]);
  const heads = fields.integer(HEADS, [1, LARGEST_INNER]);
  if (inner % heads !== 0) throw fields.error(HEADS, `a divisor of the inner size ${inner}`);
  const expand = `${INNER} / ${WIDTH}`;
  const headDim = `${INNER} / ${HEADS}`;
  const derived = new Fields(fields.file, { [expand]: inner / fields.number(WIDTH), [headDim]: inner / heads });
  return readShape(vocabSize, {
    dModel: [fields, WIDTH],
    nLayers: [fields, "mamba2.block_count"],
    expand: [derived, expand],
    headDim: [derived, headDim],
    dState: [fields, "mamba2.ssm.state_size"],
    nGroups: [fields, "mamba2.ssm.group_count"],
    convWidth: [fields, "mamba2.ssm.conv_kernel"],
  });
}

/** Without the tokens that the conversion script fills the vocabulary up with. */
function usedRows(fields: Fields, vocabulary: Vocabulary | undefined, vocabSize: number): number {
  if (!vocabulary) return vocabSize;
  let used = vocabulary.tokens.length;
  if (used > vocabSize) throw fields.error("mamba2.vocab_size", `at least the ${used} tokens of the tokenizer`);
  while (used > 1 && isPaddingToken(vocabulary, used - 1)) used--;
  return used;
}
