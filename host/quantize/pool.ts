/**
 * The quantizer's threads. Each has a Lane with its share of the calibration texts, and rounds its share of a matrix's
 * rows. Results are joined in an order that does not depend on the number of threads.
 */
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { openCheckpoint } from "../checkpoint/index.ts";
import type { Checkpoint, Mamba2Config } from "../checkpoint/types.ts";
import { LightMambaError } from "../errors.ts";
import type { Rotation } from "../model/description.ts";
import type { QuantizedMatrix } from "../model/frames.ts";
import {
  type Maxima,
  Reference,
  type ReferenceLayer,
  type SampleOptions,
  sampleText,
  type Tables,
  weightsFromCheckpoint,
} from "../reference/index.ts";
import { SharedBuffers } from "../reference/shared.ts";
import { concat } from "./concat.ts";
import { type HeadInputs, headDivergence } from "./divergence.ts";
import { type QuantizedEmbedding, quantizeRotated } from "./embedding.ts";
import { type Feedback, feedbackFactors } from "./feedback.ts";
import type { GramSums } from "./gram.ts";
import { type Chunk, type InnerBasis, Lane, type LaneSetup, type SavedStream } from "./lane.ts";
import { ResidualRotation } from "./rotate.ts";
import { type Rounded, type RoundRules, roundMatrix } from "./round.ts";

/** What a thread can be asked to do: its arguments and its answer. */
interface Tasks {
  setup(setup: LaneSetup): void;
  begin(chunks: Chunk[], rotation: Rotation): void;
  streams(): SavedStream[];
  resume(saved: SavedStream[]): void;
  inputs(norm: Float32Array): GramSums;
  setNorm(norm: Float32Array): void;
  residualMaximum(): number;
  inner(exact: ReferenceLayer, inProj: Float32Array, bases: InnerBasis[]): Maxima[number];
  innerChannels(basis: InnerBasis): Float32Array;
  innerInputs(basis: InnerBasis, gamma: Float32Array): GramSums;
  output(exact: Float32Array, outProj: Float32Array, bias: Float32Array | undefined, basis: InnerBasis): void;
  headInputs(index: number): HeadInputs | undefined;
  divergence(inputs: HeadInputs, heads: HeadInputs, config: Mamba2Config): Float64Array;
  round(
    w: Float32Array,
    inputs: number,
    rules: RoundRules,
    feedback: Feedback | undefined,
    values: Float32Array,
  ): QuantizedMatrix;
  factors(gram: GramSums, k: number): Feedback;
  rotate(rows: Float32Array, rotation: Rotation, columnFactor: Float32Array): void;
  embedding(table: Float32Array, rows: Range, rotation: Rotation, dModel: number): QuantizedEmbedding;
  sample(checkpoint: string, tables: Tables, atOnce: number, options: SampleOptions): Int32Array;
}

/** Rows from `start` on, before `end`. */
type Range = [start: number, end: number];

type TaskName = keyof Tasks;
type Answer<N extends TaskName> = ReturnType<Tasks[N]>;

interface Request {
  id: number;
  task: TaskName;
  args: unknown[];
}

type Reply = { id: number } & (
  | { answer: unknown }
  | { progress: [done: number, total: number] }
  | {
      failure:
        | { exit: LightMambaError["exit"]; message: string; detail: LightMambaError["detail"] }
        | { stack: string };
    }
);

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
  progress?: ((done: number, total: number) => void) | undefined;
}

class Thread {
  readonly #worker = new Worker(new URL(import.meta.url));
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  constructor() {
    this.#worker.on("error", (error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
    });
    this.#worker.on("message", (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      if (!waiting) return;
      if ("progress" in reply) {
        try {
          waiting.progress?.(...reply.progress);
        } catch (error) {
          // Whoever is told of the progress may call it off.
          this.#waiting.delete(reply.id);
          waiting.reject(error);
        }
        return;
      }
      this.#waiting.delete(reply.id);
      if ("answer" in reply) waiting.resolve(reply.answer);
      else if ("exit" in reply.failure) waiting.reject(LightMambaError.revive(reply.failure));
      else waiting.reject(new Error(reply.failure.stack));
    });
  }

  ask<N extends TaskName>(task: N, args: Parameters<Tasks[N]>, progress?: Waiting["progress"]): Promise<Answer<N>> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting["resolve"], reject, progress });
      this.#worker.postMessage({ id, task, args } satisfies Request);
    });
  }

  end(): void {
    void this.#worker.terminate();
  }
}

export class Pool {
  readonly #threads: Thread[];

  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => new Thread());
  }

  get size(): number {
    return this.#threads.length;
  }

  /** The same task in every thread; answers in the order of the threads. */
  all<N extends TaskName>(task: N, ...args: Parameters<Tasks[N]>): Promise<Answer<N>[]> {
    return Promise.all(this.#threads.map((thread) => thread.ask(task, args)));
  }

  /** Deals items out to the threads, item i to thread i mod n. */
  deal<N extends TaskName, T>(
    task: N,
    items: readonly T[],
    args: (share: T[]) => Parameters<Tasks[N]>,
  ): Promise<Answer<N>[]> {
    return Promise.all(
      this.#threads.map((thread, t) => thread.ask(task, args(items.filter((_, i) => i % this.size === t)))),
    );
  }

  /** A task for every thread, each with a range of the rows; answers in the order of the rows. */
  split<N extends TaskName>(task: N, rows: number, args: (range: Range) => Parameters<Tasks[N]>): Promise<Answer<N>[]> {
    const share = Math.ceil(rows / this.size);
    const working = this.#threads.slice(0, Math.max(1, Math.ceil(rows / share)));
    return Promise.all(
      working.map((thread, t) => thread.ask(task, args([t * share, Math.min((t + 1) * share, rows)]))),
    );
  }

  /** Rounds w [rows, K] to `values`, both in shared memory, each thread a part of the rows. */
  async round(
    w: Float32Array,
    values: Float32Array,
    inputs: number,
    rules: RoundRules,
    feedback?: Feedback,
  ): Promise<Rounded> {
    const rows = w.length / inputs;
    const parts = await this.split("round", rows, ([start, end]) => {
      const part = (of: Float32Array) => of.subarray(start * inputs, end * inputs);
      return [part(w), inputs, rules, feedback, part(values)];
    });
    const matrix: QuantizedMatrix = {
      ...parts[0]!,
      rows,
      codes: concat(
        parts.map(({ codes }) => codes),
        Int8Array,
      ),
      scales: concat(
        parts.map(({ scales }) => scales),
        Uint8Array,
      ),
      rowExponents: concat(
        parts.map(({ rowExponents }) => rowExponents),
        Int8Array,
      ),
    };
    return { matrix, values };
  }

  factors(gram: GramSums, k: number): Promise<Feedback> {
    return this.#threads[0]!.ask("factors", [gram, k]);
  }

  /** Samples texts [S, T] from the checkpoint, each thread a part of them. */
  async sample(
    checkpoint: Checkpoint,
    tables: Tables,
    options: Omit<SampleOptions, "progress" | "first">,
    progress?: (done: number, total: number) => void,
  ): Promise<Int32Array> {
    const share = Math.ceil(options.sequences / this.size);
    const atOnce = sampledAtOnce(share, this.size, checkpoint.config);
    const done = new Array<number>(this.size).fill(0);
    const total = options.sequences * (options.tokens - 1);
    const parts = await Promise.all(
      this.#threads.map((thread, t) => {
        const first = Math.min(t * share, options.sequences);
        const sequences = Math.min(share, options.sequences - first);
        if (sequences === 0) return new Int32Array(0);
        return thread.ask("sample", [checkpoint.path, tables, atOnce, { ...options, first, sequences }], (part) => {
          done[t] = part;
          progress?.(
            done.reduce((sum, value) => sum + value, 0),
            total,
          );
        });
      }),
    );
    return concat(parts, Int32Array);
  }

  end(): void {
    for (const thread of this.#threads) thread.end();
  }
}

/**
 * Texts that a thread samples side by side, which changes its memory and nothing else: as many rounds as their states
 * take, all of one size.
 */
function sampledAtOnce(share: number, threads: number, { nLayers, dInner, dState }: Mamba2Config): number {
  const stateBytes = 4 * nLayers * dInner * dState;
  const inAll = Math.max(FEWEST_AT_ONCE, Math.floor(SAMPLING_BYTES / stateBytes));
  const most = Math.max(1, Math.min(Math.floor(inAll / threads), Math.floor(THREAD_STATE_BYTES / stateBytes)));
  return Math.ceil(share / Math.ceil(share / most));
}

/** For the states of all threads. */
const SAMPLING_BYTES = 1.25 * 2 ** 30;
/** With fewer, a model too large to stay in memory would be read again for too little work. */
const FEWEST_AT_ONCE = 22;
/** A thread's memory is 4 GiB, and a layer's weights need some of it. */
const THREAD_STATE_BYTES = 3.5 * 2 ** 30;

// ------------------------------------------------------------------------------------------------- in the thread

let lane: Lane;
const shared = new SharedBuffers();

function tasks(progress: (done: number, total: number) => void): Tasks {
  return {
    setup: (setup) => {
      lane = new Lane(setup);
    },
    begin: (chunks, rotation) => lane.begin(chunks, rotation),
    streams: () => lane.streams(),
    resume: (saved) => lane.resume(saved),
    inputs: (norm) => lane.inputs(norm),
    setNorm: (norm) => lane.setNorm(norm),
    residualMaximum: () => lane.residualMaximum(),
    inner: (...args) => lane.inner(...args),
    innerChannels: (basis) => lane.innerChannels(basis),
    innerInputs: (...args) => lane.innerInputs(...args),
    output: (...args) => lane.output(...args),
    headInputs: (index) => lane.headInputs(index),
    divergence: headDivergence,
    round: (...args) => roundMatrix(...args).matrix,
    factors: (gram, k) => feedbackFactors(gram, k, shared),
    rotate: (rows, rotation, columnFactor) =>
      new ResidualRotation(rotation, columnFactor.length).rows(rows, columnFactor),
    embedding: quantizeRotated,
    sample(path, tables, atOnce, options) {
      const checkpoint = openCheckpoint(path);
      try {
        const reference = new Reference(weightsFromCheckpoint(checkpoint, tables), { sequences: atOnce });
        return sampleText(reference, { ...options, progress });
      } finally {
        checkpoint.close();
      }
    },
  };
}

/** Tasks whose answers the thread has no more use for: large ones move instead of being copied. */
const MOVED = new Set<TaskName>(["round", "embedding"]);

function buffersOf(value: unknown): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) return value.buffer instanceof ArrayBuffer ? [value.buffer] : [];
  return typeof value === "object" && value !== null ? [...new Set(Object.values(value).flatMap(buffersOf))] : [];
}

function answer({ id, task, args }: Request): void {
  const post = (reply: Reply, moved: ArrayBuffer[] = []) => parentPort!.postMessage(reply, moved);
  try {
    const run = tasks((...step) => post({ id, progress: step }))[task] as (...args: unknown[]) => unknown;
    const result = run(...args);
    post({ id, answer: result }, MOVED.has(task) ? buffersOf(result) : []);
  } catch (error) {
    if (error instanceof LightMambaError) {
      post({ id, failure: { exit: error.exit, message: error.message, detail: error.detail } });
    } else post({ id, failure: { stack: String((error as Error).stack ?? error) } });
  }
}

if (!isMainThread) parentPort!.on("message", answer);
