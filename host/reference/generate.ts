import { badInput } from "../errors.ts";
import { argmax } from "./metrics.ts";
import { Arena, sharedOffline } from "./offline.ts";
import { uniforms } from "./random.ts";
import type { Reference } from "./reference.ts";

export interface SampleOptions {
  /** How many texts; they run as many at a time as the reference has sequences. */
  sequences: number;
  /** Length of each, the first token included. */
  tokens: number;
  seed: number;
  /** Number of the first text: a share of a larger set draws what it would draw in the whole. Default 0. */
  first?: number;
  /** First token of every text. */
  bos: number;
  /** Called after each step of a batch with the tokens drawn so far, the first of each text left out. */
  progress?(done: number, total: number): void;
}

/**
 * Texts [S, T] drawn from the model itself at temperature 1. The text of each sequence depends on the seed and its
 * number alone, not on how many run at a time, and is the same on every machine.
 */
export function sampleText(reference: Reference, options: SampleOptions): Int32Array {
  const { sequences, tokens, seed, bos, first: offset = 0 } = options;
  const batch = reference.sequences;
  const texts = new Int32Array(sequences * tokens).fill(bos);
  for (let first = 0; first < sequences; first += batch) {
    // A last batch that is not full computes sequences nobody keeps.
    const draws = Array.from({ length: batch }, (_, s) => uniforms(seed, offset + first + s));
    const kept = Math.min(batch, sequences - first);
    let ids: Int32Array = new Int32Array(batch).fill(bos);
    reference.reset();
    for (let t = 1; t < tokens; t++) {
      const logits = reference.forward(ids, { logits: "last" }).logits!;
      ids = sampleRows(reference, logits, draws);
      for (let s = 0; s < kept; s++) texts[(first + s) * tokens + t] = ids[s]!;
      options.progress?.(first * (tokens - 1) + kept * t, sequences * (tokens - 1));
    }
  }
  reference.reset();
  return texts;
}

/** One token per row of logits [S, V]. */
function sampleRows(reference: Reference, logits: Float32Array, draws: (() => number)[]): Int32Array {
  const { vocabSize, vocabUsed } = reference.config;
  const offline = sharedOffline();
  const arena = new Arena(offline.start);
  const row = arena.floats(vocabUsed);
  offline.reserve(arena.end);
  const view = offline.floats(row, vocabUsed);
  return Int32Array.from(draws, (draw, s) => {
    view.set(logits.subarray(s * vocabSize, s * vocabSize + vocabUsed));
    return offline.kernels.sampleRow(row, vocabUsed, draw());
  });
}

/** The prompt and `count` tokens after it, each the likeliest. The reference must have one sequence. */
export function generateGreedy(reference: Reference, prompt: Int32Array, count: number): Int32Array {
  if (reference.sequences !== 1) {
    throw badInput("greedy generation takes one sequence", { expected: 1, found: reference.sequences });
  }
  const out = new Int32Array(prompt.length + count);
  out.set(prompt);
  reference.reset();
  for (let i = 0; i < count; i++) {
    const at = prompt.length + i;
    const logits = reference.forward(out.subarray(i === 0 ? 0 : at - 1, at), { logits: "last" }).logits!;
    out[at] = argmax(logits.subarray(0, reference.config.vocabUsed));
  }
  reference.reset();
  return out;
}
