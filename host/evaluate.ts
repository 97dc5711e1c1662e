/** Perplexity of a quantized model on a text, and its divergence from the checkpoint it was made from. */
import { setImmediate } from "node:timers/promises";
import { openCheckpoint } from "./checkpoint/index.ts";
import { badInput } from "./errors.ts";
import { checkIds } from "./ids.ts";
import { readModelHeader } from "./model/description.ts";
import { activationHook, modelOnDisk, simulatedWeights } from "./quantize/simulate.ts";
import {
  LogitComparison,
  type LogitMetrics,
  nextTokens,
  Reference,
  tokenLogprobs,
  weightsFromCheckpoint,
} from "./reference/index.ts";
import type { Model } from "./runtime/model.ts";

/** Tokens whose logits are held at a time. */
const CHUNK = 128;

export interface EvaluateOptions {
  /** Directory of the original checkpoint: adds KL divergence, and its own perplexity. */
  reference?: string;
  /** With a reference: the float simulation of the same codes too. */
  simulate?: boolean;
  progress?(done: number, total: number): void;
}

export interface Evaluation {
  /** Predicted tokens: one less than the ids. */
  tokens: number;
  perplexity: number;
  /** Against the FP32 checkpoint. */
  reference?: Pick<LogitMetrics, "kl" | "referencePerplexity" | "top1Agreement">;
  /** The float simulation against the FP32 checkpoint. */
  simulation?: Pick<LogitMetrics, "kl" | "perplexity">;
  tokensPerSecond: number;
}

/** Runs `ids` as one text through the model. The signal of Ctrl-C gets through between chunks. */
export async function evaluate(model: Model, ids: Int32Array, options: EvaluateOptions = {}): Promise<Evaluation> {
  const { config } = model;
  if (ids.length < 2) throw badInput("nothing to predict", { expected: "at least 2 tokens", found: ids.length });
  checkIds(ids, config.vocabUsed);
  const judges = options.reference === undefined ? undefined : new Judges(model, options.reference, options.simulate);
  const targets = nextTokens(ids);
  const session = model.session();
  let loss = 0;
  let seconds = 0;
  for (let start = 0; start < ids.length; start += CHUNK) {
    const chunk = ids.subarray(start, start + CHUNK);
    const expected = targets.subarray(start, start + CHUNK);
    const logits = new Float32Array(chunk.length * config.vocabSize);
    for (let i = 0; i < chunk.length; i++) {
      const began = performance.now();
      session.feed(chunk[i]!);
      seconds += (performance.now() - began) / 1000;
      logits.set(model.logits(), i * config.vocabSize);
    }
    for (const value of tokenLogprobs(logits, expected, config)) loss -= value;
    judges?.add(chunk, logits, expected);
    options.progress?.(start + chunk.length, ids.length);
    await setImmediate();
  }
  session.close();
  const tokens = ids.length - 1;
  return {
    tokens,
    perplexity: Math.exp(loss / tokens),
    ...judges?.results(),
    tokensPerSecond: ids.length / seconds,
  };
}

/** The FP32 checkpoint, and the simulation, running beside the model. */
class Judges {
  readonly #reference: Reference;
  readonly #simulation: Reference | undefined;
  readonly #hook: ReturnType<typeof activationHook>;
  readonly #model: LogitComparison;
  readonly #simulated: LogitComparison;

  constructor(model: Model, source: string, simulate: boolean | undefined) {
    const checkpoint = openCheckpoint(source);
    const { config, description } = model;
    for (const field of ["dModel", "nLayers", "dInner", "dState", "vocabSize"] as const) {
      if (checkpoint.config[field] === config[field]) continue;
      const sizes = { expected: config[field], found: checkpoint.config[field] };
      throw badInput("not the checkpoint of this model", { file: source, field, ...sizes });
    }
    const weights = weightsFromCheckpoint(checkpoint);
    this.#reference = new Reference(weights, { sequences: 1 });
    if (simulate) {
      this.#simulation = new Reference(simulatedWeights(weights, modelOnDisk(readModelHeader(model.dir))), {
        sequences: 1,
      });
    }
    this.#hook = activationHook(description.activationBits);
    this.#model = new LogitComparison(config);
    this.#simulated = new LogitComparison(config);
  }

  add(ids: Int32Array, logits: Float32Array, targets: Int32Array): void {
    const expected = this.#reference.forward(ids).logits!;
    this.#model.add(logits, expected, targets);
    const simulated = this.#simulation?.forward(ids, this.#hook).logits;
    if (simulated) this.#simulated.add(simulated, expected, targets);
  }

  results(): Pick<Evaluation, "reference" | "simulation"> {
    const { kl, referencePerplexity, top1Agreement } = this.#model.result();
    const reference = { kl, referencePerplexity, top1Agreement };
    if (!this.#simulation) return { reference };
    const { kl: simulatedKl, perplexity } = this.#simulated.result();
    return { reference, simulation: { kl: simulatedKl, perplexity } };
  }
}
