/** Quantizes a checkpoint with one recipe after the other and measures each: what every idea buys. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluate } from "./evaluate.ts";
import { inspect } from "./inspect.ts";
import { type QuantizeOptions, quantizeCheckpoint } from "./quantize/index.ts";
import { Model } from "./runtime/model.ts";

export interface Rung {
  name: string;
  options: QuantizeOptions;
}

export interface RungResult {
  name: string;
  /** Stored bits per weight of the matrices, scales included. */
  bitsPerWeight: number;
  /** Bytes of model.safetensors. */
  bytes: number;
  perplexity: number;
  /** KL(FP32 ‖ model), nats per token. */
  kl: number;
  /** To quantize. */
  seconds: number;
}

export interface Ladder {
  referencePerplexity: number;
  tokens: number;
  rungs: RungResult[];
}

const rtn = { method: "rtn" } as const;
const gptq = { method: "gptq" } as const;
const head8 = { ...gptq, wide: ["lm_head"] };

export const LADDER: readonly Rung[] = [
  {
    name: "A4, the paper's recipe: rtn, groups of 128, power-of-two scales",
    options: { weights: { ...rtn, group: 128, powerOfTwoScales: true } },
  },
  { name: "A4 rtn, not rotated", options: { weights: rtn, rotation: "off" } },
  { name: "A4 rtn, SmoothQuant", options: { weights: rtn, rotation: "off", smooth: true } },
  { name: "A4 rtn, rotated", options: { weights: rtn } },
  { name: "A4 gptq, not rotated", options: { weights: gptq, rotation: "off" } },
  { name: "A4 gptq", options: { weights: gptq } },
  { name: "A4 gptq, rotation auto", options: { weights: gptq, rotation: "auto" } },
  { name: "A4 gptq, 8-bit head", options: { weights: head8 } },
  { name: "A4 gptq, groups of 16", options: { weights: { ...gptq, group: 16 } } },
  { name: "A4 gptq, 16-bit state", options: { weights: gptq, stateBits: 16 } },
  { name: "A5 gptq", options: { weights: gptq, activationBits: 5 } },
  { name: "A6 gptq", options: { weights: gptq, activationBits: 6 } },
  { name: "A8 rtn", options: { weights: rtn, activationBits: 8 } },
  { name: "A8 gptq", options: { weights: gptq, activationBits: 8 } },
  { name: "A8 gptq, 8-bit head", options: { weights: head8, activationBits: 8 } },
  { name: "A8 gptq, 8-bit head, groups of 16", options: { weights: { ...head8, group: 16 }, activationBits: 8 } },
];

export interface LadderOptions {
  rungs?: readonly Rung[];
  calibrationFile?: string;
  threads?: number;
  seed?: number;
  /** A rung is done. */
  see?(result: RungResult): void;
  progress?(rung: string, phase: string, done: number, total: number): void;
}

/** Measures on `ids`. The models are made in a temporary directory and removed. */
export async function ladder(checkpoint: string, ids: Int32Array, options: LadderOptions = {}): Promise<Ladder> {
  const { rungs = LADDER, see, progress, ...common } = options;
  const work = mkdtempSync(join(tmpdir(), "lightmamba-ladder-"));
  const results: RungResult[] = [];
  let referencePerplexity = 0;
  try {
    for (const { name, options: recipe } of rungs) {
      const dir = join(work, "model");
      const start = performance.now();
      await quantizeCheckpoint(checkpoint, dir, {
        ...common,
        ...recipe,
        force: true,
        progress: (...step) => progress?.(name, ...step),
      });
      const seconds = (performance.now() - start) / 1000;
      const model = Model.load(dir);
      const { perplexity, reference } = await evaluate(model, ids, { reference: checkpoint });
      referencePerplexity = reference!.referencePerplexity;
      const found = inspect(dir);
      const bitsPerWeight = found.kind === "model" ? found.bitsPerWeight : 0;
      const result = { name, bitsPerWeight, bytes: found.bytes, perplexity, kl: reference!.kl, seconds };
      results.push(result);
      see?.(result);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { referencePerplexity, tokens: ids.length - 1, rungs: results };
}
