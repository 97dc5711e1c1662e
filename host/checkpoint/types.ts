/** The one in-memory description of a Mamba-2 checkpoint, whatever file format it came from. */

/** D = dModel, E = dInner = nHeads * headDim, H = nHeads, P = headDim, N = dState, G = nGroups, W = convWidth. */
export interface Mamba2Shape {
  dModel: number;
  nLayers: number;
  dInner: number;
  nHeads: number;
  headDim: number;
  dState: number;
  nGroups: number;
  /** Taps of the causal depthwise convolution, 2 to 4. */
  convWidth: number;
  /** Rows of the embedding and of lm_head, padding included. */
  vocabSize: number;
}

export interface Mamba2Config extends Mamba2Shape {
  format: "huggingface" | "state-spaces" | "gguf";
  /** Rows that stand for tokens: vocabSize less the padding the original form adds. */
  vocabUsed: number;
  normEps: number;
  /** softplus(dt + bias) is clamped to [low, high]; high may be Infinity. */
  timeStepLimit: [low: number, high: number];
  useBias: boolean;
  useConvBias: boolean;
  tieEmbeddings: boolean;
  bosTokenId: number | undefined;
  eosTokenIds: number[];
}

export type Dtype = "F32" | "F16" | "BF16";

/**
 * Names of the tensors and their shapes. Conv channels run x (E), B (G*N), C (G*N).
 *
 * | name | shape | |
 * |---|---|---|
 * | `embedding` | [vocabSize, D] | |
 * | `layers.i.norm` | [D] | γ1 of the RMSNorm before the mixer |
 * | `layers.i.in_proj` | [2E + 2GN + H, D] | rows z, x, B, C, dt |
 * | `layers.i.in_proj_bias` | [2E + 2GN + H] | only with useBias |
 * | `layers.i.conv` | [E + 2GN, W] | oldest tap first |
 * | `layers.i.conv_bias` | [E + 2GN] | only with useConvBias |
 * | `layers.i.A_log`, `layers.i.D`, `layers.i.dt_bias` | [H] | |
 * | `layers.i.gate_norm` | [E] | γ2 of the gated RMSNorm before out_proj |
 * | `layers.i.out_proj` | [D, E] | |
 * | `layers.i.out_proj_bias` | [D] | only with useBias |
 * | `final_norm` | [D] | |
 * | `lm_head` | [vocabSize, D] | absent when tied: read `embedding` |
 */
export interface TensorInfo {
  name: string;
  dtype: Dtype;
  shape: number[];
  /** File that holds it, and its name there: what error messages and `inspect` show. */
  file: string;
  sourceName: string;
  /** How the file has it, where that is a block type of ggml; `dtype` is F32 then, which is what `read` makes of it. */
  stored?: { type: string; bytes: number };
}

export interface Checkpoint {
  /** The directory or GGUF file it was opened from. */
  readonly path: string;
  readonly config: Mamba2Config;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads one tensor, widened to FP32, into `target` where one is given: it must have the tensor's size. Throws badInput
   * when it holds NaN or Inf, or is not in this checkpoint.
   */
  read(name: string, target?: Float32Array): Float32Array;
  /** SHA-256 over the weight files' bytes and the configuration, in hex; the same for the same checkpoint. */
  hash(): string;
  /**
   * Only of a GGUF file: the tokenizer's files to write into a model's directory, by name. They are those beside the GGUF
   * file, or else made from its metadata. Undefined when there are none; throws `unsupported` when the metadata has a
   * tokenizer that is not byte-level BPE as known here.
   */
  tokenizerFiles?(): Map<string, Uint8Array> | undefined;
  close(): void;
}
