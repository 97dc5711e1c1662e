/**
 * The quantizer's threads. Each has a Lane with its share of the calibration texts, and rounds its share of a matrix's
 * rows. Results are joined in an order that does not depend on the number of threads.
 */
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { openCheckpoint } from "../checkpoint/index.ts";
import type { Mamba2Config } from "../checkpoint/types.ts";
import { LightMambaError } from "../errors.ts";
import {
  type Maxima,
  Reference,
  type ReferenceLayer,
  type SampleOptions,
  sampleText,
  weightsFromCheckpoint,
} from "../reference/index.ts";
import { type Feedback, feedbackFactors } from "./feedback.ts";
import { type Chunk, type GramSums, type InnerBasis, Lane, type LaneSetup, type SavedStream } from "./lane.ts";
import { type Rounded, type RoundRules, roundMatrix } from "./round.ts";

/** What a thread can be asked to do: its arguments and its answer. */
interface Tasks {
  setup(setup: LaneSetup): void;
  begin(chunks: Chunk[]): void;
  streams(): SavedStream[];
  resume(saved: SavedStream[]): void;
  inputs(norm: Float32Array): GramSums;
  setNorm(norm: Float32Array): void;
  residualMaximum(): number;
  inner(exact: ReferenceLayer, inProj: Float32Array, bases: InnerBasis[]): Maxima[number];
  innerChannels(basis: InnerBasis): Float32Array;
  innerInputs(basis: InnerBasis, gamma: Float32Array): GramSums;
  output(exact: Float32Array, outProj: Float32Array, bias: Float32Array | undefined, basis: InnerBasis): void;
  divergence(index: number, exact: Float32Array, rounded: Float32Array): { sum: number; rows: number };
  round(w: Float32Array, inputs: number, rules: RoundRules, feedback: Feedback | undefined): Rounded;
  factors(gram: GramSums, k: number): Feedback;
  sample(checkpoint: string, sequences: number, options: SampleOptions): Int32Array;
}

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
      const waiting = this.#waiting.get(reply.id)!;
      if ("progress" in reply) {
        waiting.progress?.(...reply.progress);
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

  /** Rounds w [rows, K], each thread a part of the rows. */
  async round(w: Float32Array, inputs: number, rules: RoundRules, feedback?: Feedback): Promise<Rounded> {
    const rows = w.length / inputs;
    const share = Math.ceil(rows / this.size);
    const parts = await Promise.all(
      this.#threads.map((thread, t) => {
        const part = w.slice(Math.min(t * share, rows) * inputs, Math.min((t + 1) * share, rows) * inputs);
        return thread.ask("round", [part, inputs, rules, feedback]);
      }),
    );
    return joinRows(parts, rows, w.length);
  }

  factors(gram: GramSums, k: number): Promise<Feedback> {
    return this.#threads[0]!.ask("factors", [gram, k]);
  }

  /** Samples texts [S, T] from the checkpoint, each thread a part of them. */
  async sample(
    checkpoint: string,
    options: Omit<SampleOptions, "progress" | "first">,
    progress?: (done: number, total: number) => void,
  ): Promise<Int32Array> {
    const share = Math.ceil(options.sequences / this.size);
    const done = new Array<number>(this.size).fill(0);
    const total = options.sequences * options.tokens;
    const parts = await Promise.all(
      this.#threads.map((thread, t) => {
        const first = Math.min(t * share, options.sequences);
        const sequences = Math.min(share, options.sequences - first);
        if (sequences === 0) return new Int32Array(0);
        return thread.ask("sample", [checkpoint, sequences, { ...options, first, sequences }], (part) => {
          done[t] = part;
          progress?.(
            done.reduce((sum, value) => sum + value, 0),
            total,
          );
        });
      }),
    );
    return concat(parts, new Int32Array(total));
  }

  end(): void {
    for (const thread of this.#threads) thread.end();
  }
}

function joinRows(parts: Rounded[], rows: number, count: number): Rounded {
  const [first] = parts as [Rounded];
  const of = <T extends Int8Array | Uint8Array | Float32Array>(take: (part: Rounded) => T, out: T) =>
    concat(parts.map(take), out);
  const slots = parts.reduce((sum, { matrix }) => sum + matrix.scales.length, 0);
  const codes = parts.reduce((sum, { matrix }) => sum + matrix.codes.length, 0);
  return {
    matrix: {
      ...first.matrix,
      rows,
      codes: of(({ matrix }) => matrix.codes, new Int8Array(codes)),
      scales: of(({ matrix }) => matrix.scales, new Uint8Array(slots)),
      rowExponents: of(({ matrix }) => matrix.rowExponents, new Int8Array(rows)),
    },
    values: of(({ values }) => values, new Float32Array(count)),
  };
}

function concat<T extends Int8Array | Uint8Array | Float32Array | Int32Array>(parts: T[], out: T): T {
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

// ------------------------------------------------------------------------------------------------- in the thread

let lane: Lane;

function tasks(progress: (done: number, total: number) => void): Tasks {
  return {
    setup: (setup) => {
      lane = new Lane(setup);
    },
    begin: (chunks) => lane.begin(chunks),
    streams: () => lane.streams(),
    resume: (saved) => lane.resume(saved),
    inputs: (norm) => lane.inputs(norm),
    setNorm: (norm) => lane.setNorm(norm),
    residualMaximum: () => lane.residualMaximum(),
    inner: (...args) => lane.inner(...args),
    innerChannels: (basis) => lane.innerChannels(basis),
    innerInputs: (...args) => lane.innerInputs(...args),
    output: (...args) => lane.output(...args),
    divergence: (...args) => lane.divergence(...args),
    round: roundMatrix,
    factors: feedbackFactors,
    sample(path, sequences, options) {
      const checkpoint = openCheckpoint(path);
      try {
        const reference = new Reference(weightsFromCheckpoint(checkpoint), {
          sequences: sampledAtOnce(sequences, checkpoint.config),
        });
        return sampleText(reference, { ...options, progress });
      } finally {
        checkpoint.close();
      }
    },
  };
}

/**
 * Texts that a thread samples side by side: their states decide its memory, and nothing else changes. As many rounds as
 * that takes, all of one size.
 */
function sampledAtOnce(sequences: number, { nLayers, dInner, dState }: Mamba2Config): number {
  const most = Math.max(FEWEST_AT_ONCE, Math.floor(SAMPLING_BYTES / (4 * nLayers * dInner * dState)));
  return Math.ceil(sequences / Math.ceil(sequences / most));
}

const SAMPLING_BYTES = 384 * 2 ** 20;
/** Fewer would read the weights once for too little work. */
const FEWEST_AT_ONCE = 4;

/** Tasks whose answers the thread has no more use for: large ones move instead of being copied. */
const MOVED = new Set<TaskName>(["inputs", "innerInputs", "factors", "round"]);

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
