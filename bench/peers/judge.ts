/** The FP32 reference beside files of logits: perplexity of each, and its divergence from the checkpoint. */

import { closeSync, openSync, readSync, statSync } from "node:fs";
import type { Checkpoint } from "../../host/checkpoint/types.ts";
import { badInput } from "../../host/errors.ts";
import {
  LogitComparison,
  type LogitMetrics,
  nextTokens,
  Reference,
  weightsFromCheckpoint,
} from "../../host/reference/index.ts";

/** Tokens whose logits are held at a time. */
const CHUNK = 128;

/** `files` hold FP32 logits [ids.length, vocabSize]; the results come in their order. */
export function judge(checkpoint: Checkpoint, ids: Int32Array, files: readonly string[]): LogitMetrics[] {
  const { config } = checkpoint;
  for (const file of files) checkSize(file, 4 * ids.length * config.vocabSize);
  const reference = new Reference(weightsFromCheckpoint(checkpoint), { sequences: 1 });
  const targets = nextTokens(ids);
  const comparisons = files.map(() => new LogitComparison(config));
  for (let start = 0; start < ids.length; start += CHUNK) {
    const chunk = ids.subarray(start, start + CHUNK);
    const expected = reference.forward(chunk).logits!;
    files.forEach((file, i) => {
      const logits = readFloats(file, start * config.vocabSize, expected.length);
      comparisons[i]!.add(logits, expected, targets.subarray(start, start + CHUNK));
    });
  }
  return comparisons.map((comparison) => comparison.result());
}

function checkSize(file: string, expected: number): void {
  const found = statSync(file).size;
  if (found !== expected) throw badInput("logits of another size", { file, expected, found });
}

function readFloats(path: string, first: number, count: number): Float32Array {
  const values = new Float32Array(count);
  const file = openSync(path, "r");
  try {
    readSync(file, new Uint8Array(values.buffer), 0, 4 * count, 4 * first);
  } finally {
    closeSync(file);
  }
  return values;
}
