/** Calibration text: the model's own, or the user's. */
import { createHash } from "node:crypto";
import type { Checkpoint, Mamba2Config } from "../checkpoint/types.ts";
import { badInput } from "../errors.ts";
import type { CalibrationRecord } from "../model/description.ts";
import type { ReferenceWeights, Tables } from "../reference/index.ts";
import { sharedFloats } from "../reference/shared.ts";
import type { Chunk } from "./lane.ts";
import type { Pool } from "./pool.ts";

/** Length of a calibration text: what the embedded model was trained on, and enough for its slowest useful heads. */
export const TEXT_TOKENS = 256;

export interface CalibrationOptions {
  /** Token ids of a text; without, the model writes its own. */
  ids: Int32Array | undefined;
  /** What an interrupted run of the same options has sampled. */
  sampled: Int32Array | undefined;
  tokens: number;
  seed: number;
  progress(done: number, total: number): void;
}

/** Texts that are computed together: what memory a thread needs grows with it. */
export const CHUNK_TEXTS = 8;

export interface CalibrationIds {
  /** [S, T]. */
  ids: Int32Array;
  /** T. */
  length: number;
}

export interface CalibrationText extends CalibrationIds {
  record: CalibrationRecord;
}

export async function calibrationIds(
  pool: Pool,
  checkpoint: Checkpoint,
  tables: Tables,
  options: CalibrationOptions,
): Promise<CalibrationText> {
  const length = Math.min(TEXT_TOKENS, options.tokens);
  const sequences = Math.max(1, Math.floor(options.tokens / length));
  const ids = options.ids
    ? cut(options.ids, sequences, length)
    : (options.sampled ??
      (await pool.sample(
        checkpoint,
        tables,
        { sequences, tokens: length, seed: options.seed, bos: firstToken(checkpoint.config) },
        options.progress,
      )));
  const bytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const source = options.ids ? "file" : "sampled";
  return { ids, length, record: { source, tokens: ids.length, seed: options.seed, sha256 } };
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

/** The texts' embedding rows, chunk by chunk. */
export function embeddedChunks({ ids, length }: CalibrationIds, { embedding, config }: ReferenceWeights): Chunk[] {
  const { dModel } = config;
  const rows = CHUNK_TEXTS * length;
  return Array.from({ length: lastChunk({ ids, length }) + 1 }, (_, index) => {
    const part = ids.subarray(index * rows, (index + 1) * rows);
    const residual = sharedFloats(part.length * dModel);
    part.forEach((id, r) => {
      residual.set(embedding.subarray(id * dModel, (id + 1) * dModel), r * dModel);
    });
    return { index, residual };
  });
}

export function lastChunk({ ids, length }: CalibrationIds): number {
  return Math.ceil(ids.length / (CHUNK_TEXTS * length)) - 1;
}
