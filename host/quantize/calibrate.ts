/** Calibration text, and the magnitudes a model reaches on it. */
import { createHash } from "node:crypto";
import type { Mamba2Config } from "../checkpoint/types.ts";
import { badInput } from "../errors.ts";
import type { CalibrationRecord } from "../model/description.ts";
import { type Maxima, maximaHook, Reference, type ReferenceWeights, sampleText } from "../reference/index.ts";

/** Length of a calibration text: what the embedded model was trained on, and enough for its slowest useful heads. */
const TEXT_TOKENS = 256;

export interface CalibrationOptions {
  /** Token ids of a text; without, the model writes its own. */
  ids?: Int32Array | undefined;
  tokens: number;
  seed: number;
  progress?(phase: string, done: number, total: number): void;
}

export interface Calibration {
  maxima: Maxima;
  record: CalibrationRecord;
}

/** Runs calibration text through the FP32 model and keeps the largest magnitude of every signal. */
export function calibrate(weights: ReferenceWeights, options: CalibrationOptions): Calibration {
  const length = Math.min(TEXT_TOKENS, options.tokens);
  const sequences = Math.max(1, Math.floor(options.tokens / length));
  const reference = new Reference(weights, { sequences });
  const ids = options.ids
    ? cut(options.ids, sequences, length)
    : sampleText(reference, {
        sequences,
        tokens: length,
        seed: options.seed,
        bos: firstToken(weights.config),
        progress: (done, total) => options.progress?.("sampling calibration text", done, total),
      });
  const maxima: Maxima = [];
  reference.reset();
  const texts =
    ids.length / length === sequences ? reference : new Reference(weights, { sequences: ids.length / length });
  texts.forward(ids, {
    ...maximaHook(maxima),
    logits: "none",
    progress: (done, total) => options.progress?.("measuring magnitudes", done, total),
  });
  const bytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const source = options.ids ? "file" : "sampled";
  return { maxima, record: { source, tokens: ids.length, seed: options.seed, sha256 } };
}

function firstToken({ bosTokenId, eosTokenIds }: Mamba2Config): number {
  return bosTokenId ?? eosTokenIds[0] ?? 0;
}

/** The first sequences · length ids; fewer whole texts when there are not so many. */
function cut(ids: Int32Array, sequences: number, length: number): Int32Array {
  const whole = Math.min(sequences, Math.floor(ids.length / length));
  if (whole > 0) return ids.slice(0, whole * length);
  throw badInput("the calibration text is too short", { expected: `at least ${length} tokens`, found: ids.length });
}
