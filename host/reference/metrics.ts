import type { Mamba2Config } from "../checkpoint/types.ts";
import { badInput } from "../errors.ts";
import { Arena, sharedOffline } from "./offline.ts";

/** Row width of the logits, and how many of its columns are tokens: padding takes no part in a softmax. */
export type Vocabulary = Pick<Mamba2Config, "vocabSize" | "vocabUsed">;

/** A target that marks a row to leave out, such as the last of a text. */
export const NO_TARGET = -1;

export interface LogitMetrics {
  /** Rows with a target. */
  tokens: number;
  /** Mean -log p(target), nats per token. */
  crossEntropy: number;
  /** exp(crossEntropy). */
  perplexity: number;
  /** The same of the reference. */
  referenceCrossEntropy: number;
  referencePerplexity: number;
  /** Mean KL(reference ‖ model), nats per token. */
  kl: number;
  /** Share of rows where both have their largest logit at the same token. */
  top1Agreement: number;
}

/** Compares a model's logits with the reference's in FP64, piece by piece: a text's logits need not be held at once. */
export class LogitComparison {
  private readonly vocabulary: Vocabulary;
  private tokens = 0;
  private loss = 0;
  private referenceLoss = 0;
  private kl = 0;
  private agreed = 0;

  constructor(vocabulary: Vocabulary) {
    this.vocabulary = vocabulary;
  }

  /** Adds rows: logits [R, V], reference [R, V], targets [R]. */
  add(logits: Float32Array, reference: Float32Array, targets: Int32Array): void {
    const { vocabSize, vocabUsed } = this.vocabulary;
    checkRows(reference, targets, vocabSize);
    const { kernels, views, pointers } = rowsInWasm(vocabUsed);
    eachTarget(logits, targets, this.vocabulary, (row, target) => {
      const start = row * vocabSize;
      const model = logits.subarray(start, start + vocabUsed);
      const expected = reference.subarray(start, start + vocabUsed);
      views[0].set(model);
      views[1].set(expected);
      this.tokens++;
      const norm = kernels.logSumExp(pointers[0], vocabUsed);
      const expectedNorm = kernels.logSumExp(pointers[1], vocabUsed);
      this.loss += norm - model[target]!;
      this.referenceLoss += expectedNorm - expected[target]!;
      this.kl += kernels.divergence(pointers[0], norm, pointers[1], expectedNorm, vocabUsed);
      if (argmax(model) === argmax(expected)) this.agreed++;
    });
  }

  result(): LogitMetrics {
    const { tokens } = this;
    const { exp } = sharedOffline().kernels;
    const crossEntropy = this.loss / tokens;
    const referenceCrossEntropy = this.referenceLoss / tokens;
    return {
      tokens,
      crossEntropy,
      perplexity: exp(crossEntropy),
      referenceCrossEntropy,
      referencePerplexity: exp(referenceCrossEntropy),
      kl: this.kl / tokens,
      top1Agreement: this.agreed / tokens,
    };
  }
}

/** LogitComparison of logits [R, V] in one piece; targets [R]. */
export function crossEntropyAndKl(
  logits: Float32Array,
  reference: Float32Array,
  targets: Int32Array,
  vocabulary: Vocabulary,
): LogitMetrics {
  const comparison = new LogitComparison(vocabulary);
  comparison.add(logits, reference, targets);
  return comparison.result();
}

/** log p(target) of each row with a target, in nats: logits [R, V], targets [R]. */
export function tokenLogprobs(logits: Float32Array, targets: Int32Array, vocabulary: Vocabulary): Float64Array {
  const { vocabSize, vocabUsed } = vocabulary;
  const { kernels, views, pointers } = rowsInWasm(vocabUsed);
  const out: number[] = [];
  eachTarget(logits, targets, vocabulary, (row, target) => {
    const model = logits.subarray(row * vocabSize, row * vocabSize + vocabUsed);
    views[0].set(model);
    out.push(model[target]! - kernels.logSumExp(pointers[0], vocabUsed));
  });
  return Float64Array.from(out);
}

/** Perplexity of a text from the log-probabilities of its tokens. */
export function perplexity(logprobs: Float64Array): number {
  const sum = logprobs.reduce((total, value) => total + value, 0);
  return sharedOffline().kernels.exp(-sum / logprobs.length);
}

/** What each row of a text [S, T] should predict: the next token, and nothing after the last. */
export function nextTokens(ids: Int32Array, sequences = 1): Int32Array {
  const tokens = ids.length / sequences;
  return ids.map((_, i) => ((i + 1) % tokens === 0 ? NO_TARGET : ids[i + 1]!));
}

/** Index of the largest value, the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function eachTarget(
  logits: Float32Array,
  targets: Int32Array,
  { vocabSize, vocabUsed }: Vocabulary,
  visit: (row: number, target: number) => void,
): void {
  checkRows(logits, targets, vocabSize);
  targets.forEach((target, row) => {
    if (target === NO_TARGET) return;
    if (target < 0 || target >= vocabUsed) {
      throw badInput("target outside the vocabulary", { expected: `0 to ${vocabUsed - 1}`, found: target });
    }
    visit(row, target);
  });
}

function checkRows(logits: Float32Array, targets: Int32Array, vocabSize: number): void {
  if (logits.length === targets.length * vocabSize) return;
  throw badInput("logits and targets differ in length", {
    expected: `${targets.length} * ${vocabSize}`,
    found: logits.length,
  });
}

/** Room for two rows of logits beside the shared kernels. */
function rowsInWasm(columns: number) {
  const offline = sharedOffline();
  const arena = new Arena(offline.start);
  const pointers: [number, number] = [arena.floats(columns), arena.floats(columns)];
  offline.reserve(arena.end);
  const views: [Float32Array, Float32Array] = [
    offline.floats(pointers[0], columns),
    offline.floats(pointers[1], columns),
  ];
  return { kernels: offline.kernels, pointers, views };
}
