/** A quantized model, loaded and ready: the public face of the runtime. */
import type { Mamba2Config } from "../checkpoint/types.ts";
import { LightMambaError } from "../errors.ts";
import { type ModelDescription, type ModelHeader, readModelHeader } from "../model/description.ts";
import { checkTokenizer, hasTokenizer, loadTokenizer, type Tokenizer } from "../tokenizer/index.ts";
import { checkQuickly } from "../verify.ts";
import { type Accelerator, type AcceleratorOptions, accelerate, checkThreads } from "./accelerator.ts";
import { bestVariant, type Engine, instantiate, UNITS, type Variant } from "./engine.ts";
import { loadWeights, weightBytesPerToken } from "./load.ts";
import { type SamplerOptions, Session, type SessionMemory } from "./session.ts";
import { synthesizeWeights } from "./synthetic.ts";
import { hasThreads, MOST_THREADS, usefulThreads } from "./threads.ts";

const LOGIT_UNIT = 2 ** -16;

export interface LoadOptions extends AcceleratorOptions {
  /** Default: the fastest that there is here. The bits are the same. */
  variant?: Variant;
  /** Threads of a token; the bits are the same. Default: all cores for a model that is worth it, else 1; with a device 1. */
  threads?: number;
}

/** A model that streams fewer weights per token gains less from a second thread than it takes to start. */
const WORTH_THREADS_BYTES = 16e6;

export class Model {
  readonly dir: string;
  readonly config: Mamba2Config;
  readonly description: ModelDescription;
  readonly variant: Variant;
  readonly threads: number;
  /** Where tokens are computed, if not in WebAssembly. */
  readonly accelerator: Accelerator | undefined;
  readonly #engine: Engine;
  readonly #free: SessionMemory[] = [];
  #tokenizer: Tokenizer | undefined;

  private constructor(header: ModelHeader, engine: Engine, accelerator: Accelerator | undefined) {
    this.dir = header.dir;
    this.config = header.config;
    this.description = header.description;
    this.variant = engine.variant;
    this.threads = engine.threads;
    this.accelerator = accelerator;
    this.#engine = engine;
  }

  /** Reads and checks a model directory. Throws LightMambaError. */
  static load(dir: string, options: LoadOptions = {}): Model {
    checkQuickly(dir);
    const header = readModelHeader(dir);
    return Model.#create(header, options, loadWeights);
  }

  /** A model of pseudo-random weights, for measurements: synthetic.ts. Throws LightMambaError. */
  static synthetic(config: Mamba2Config, description: ModelDescription, options: LoadOptions = {}): Model {
    const header = { dir: description.weightsSha256, config, description };
    return Model.#create(header, options, synthesizeWeights);
  }

  static #create(
    header: ModelHeader,
    options: LoadOptions,
    fill: (engine: Engine, header: ModelHeader) => void,
  ): Model {
    const engine = instantiate(options.variant ?? bestVariant(), chooseThreads(options, header));
    try {
      fill(engine, header);
      return new Model(header, engine, accelerate(engine, header, options));
    } catch (error) {
      engine.close();
      throw error;
    }
  }

  /**
   * Ends threads and simulation. Optional: they do not keep a program alive. Sessions can be saved afterwards; with a device they cannot
   * be fed any more.
   */
  close(): void {
    this.#engine.close();
    if (this.accelerator === undefined) return;
    try {
      this.#engine.exports.settle(0);
    } catch {
      // A conversation that could not be read back says so when it is asked for.
    }
    this.accelerator.close();
  }

  /** Loaded when first asked for. Throws when the directory has none, or one with more tokens than the model. */
  get tokenizer(): Tokenizer {
    if (!this.#tokenizer) {
      if (!hasTokenizer(this.dir)) {
        throw new LightMambaError("badInput", "the model has no tokenizer", {
          file: this.dir,
          expected: "tokenizer.json",
          hint: "token ids work: see lightmamba trace",
        });
      }
      this.#tokenizer = loadTokenizer(this.dir);
      checkTokenizer(this.#tokenizer, this.config.vocabUsed);
    }
    return this.#tokenizer;
  }

  /** Bytes of weights each generated token streams from memory. */
  get weightBytesPerToken(): number {
    return weightBytesPerToken(this.config, this.description.weights);
  }

  /** Bytes of a conversation's state. */
  get stateBytes(): number {
    return this.#engine.exports.stateBytes();
  }

  /** Bytes of WebAssembly memory in use: weights, buffers, sessions. */
  get memoryBytes(): number {
    return this.#engine.memory.buffer.byteLength;
  }

  /** A new conversation with an empty state. Close it when it is over: its memory serves the next. */
  session(options?: SamplerOptions): Session {
    const { vocabUsed, vocabSize, nLayers: layers } = this.config;
    const modelId = this.description.weightsSha256;
    return new Session({ engine: this.#engine, vocabUsed, vocabSize, layers, modelId, free: this.#free }, options);
  }

  /** Counts the time of each unit from zero on, or stops. */
  profile(enable: boolean): void {
    this.#engine.exports.profile(Number(enable));
  }

  /** Seconds of each unit since profile(true). */
  unitTimes(): { unit: (typeof UNITS)[number]; seconds: number }[] {
    return UNITS.map((unit, i) => ({ unit, seconds: this.#engine.exports.unitSeconds(i) }));
  }

  /** Logits of the token fed last: int32 Q16 [vocabSize], a live view. */
  rawLogits(): Int32Array {
    const { exports, memory } = this.#engine;
    return new Int32Array(memory.buffer, exports.logitsAt(), this.config.vocabSize);
  }

  /** The same as floating point, exactly. */
  logits(): Float32Array {
    return Float32Array.from(this.rawLogits(), (value) => value * LOGIT_UNIT);
  }

  /** The residual stream as it stands, in the rotated basis, [dModel]. */
  residual(): Float64Array {
    const { exports, memory } = this.#engine;
    const unit = 2 ** -this.description.residualFraction;
    return Float64Array.from(
      new Int32Array(memory.buffer, exports.residualAt(), this.config.dModel),
      (value) => value * unit,
    );
  }
}

function chooseThreads({ threads: wanted, device = "wasm" }: LoadOptions, header: ModelHeader): number {
  const { config, description } = header;
  if (device !== "wasm") {
    checkThreads(wanted);
    return 1;
  }
  if (wanted === undefined) {
    const worth = weightBytesPerToken(config, description.weights) >= WORTH_THREADS_BYTES;
    return worth ? usefulThreads() : 1;
  }
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > MOST_THREADS) {
    throw new LightMambaError("usage", "not a number of threads", { expected: `1 to ${MOST_THREADS}`, found: wanted });
  }
  if (wanted > 1 && !hasThreads()) {
    throw new LightMambaError("prerequisite", "this Node runs one thread only", {
      expected: "Node 22 or newer, or --threads 1",
      found: process.versions.node,
    });
  }
  return wanted;
}
