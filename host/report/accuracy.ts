/** How far quantized models are from FP32, by their bits: measured. */
import type { Ladder } from "../ladder.ts";
import type { Quantity } from "./quantity.ts";

export interface AccuracyPoint {
  title: string;
  bitsPerWeight: number;
  activationBits: number;
  megabytes: number;
  /** Nats a token. */
  kl: Quantity;
  perplexity: number;
}

export interface Accuracy {
  model: string;
  tokens: number;
  referencePerplexity: number;
  points: AccuracyPoint[];
}

export interface RecordedLadder extends Ladder {
  by: string;
  checkpoint: string;
}

export function accuracy({ checkpoint, by, tokens, referencePerplexity, rungs }: RecordedLadder): Accuracy {
  const points = rungs.map(({ name, bitsPerWeight, bytes, kl, perplexity }): AccuracyPoint => {
    const activationBits = Number(/^A(\d)/.exec(name)![1]);
    return {
      title: name,
      ...{ bitsPerWeight, activationBits, megabytes: bytes / 1e6, perplexity },
      kl: { value: kl, kind: "measured", source: `bench/results/ladder.json (${by})` },
    };
  });
  return { model: checkpoint, tokens, referencePerplexity, points };
}
