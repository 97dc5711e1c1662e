/** How fast this machine reads memory, with as many threads as a model: what bounds the decoding of a large one. */
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { BEAT_BYTES } from "../../assembly/contract.ts";
import { LightMambaError } from "../errors.ts";
import { instantiate, type Variant } from "../runtime/engine.ts";
import { allocate } from "../runtime/load.ts";

/** Of all threads: several times what the largest caches hold. */
const BUFFER_BYTES = 256 * 2 ** 20;
/** Reads of one measurement. */
const PASSES = 4;
const START_TIMEOUT_MS = 20_000;

/** Words that the threads share: how often they were told to read, how many have done so, and what is to be done. */
const [GO, DONE, WORDS] = [0, 1, 2];

/** Each thread has memory of its own, and reads all of it with the runtime's kernel. */
export class BandwidthProbe {
  readonly threads: number;
  readonly #read: () => void;
  readonly #workers: Worker[];
  readonly #words = new Int32Array(new SharedArrayBuffer(4 * WORDS));

  constructor(threads: number, variant: Variant) {
    this.threads = threads;
    const data: Part = { role: ROLE, words: this.#words, sizeBytes: partBytes(threads), variant };
    this.#workers = Array.from({ length: threads - 1 }, () => {
      const worker = new Worker(new URL(import.meta.url), { workerData: data });
      worker.unref();
      return worker;
    });
    this.#read = reader(data);
    this.#awaitOthers(START_TIMEOUT_MS);
  }

  /** Bytes a second of all threads together. */
  measure(): number {
    const begin = performance.now();
    Atomics.add(this.#words, GO, 1);
    Atomics.notify(this.#words, GO);
    this.#read();
    this.#awaitOthers();
    return (1000 * PASSES * this.threads * partBytes(this.threads)) / (performance.now() - begin);
  }

  close(): void {
    for (const worker of this.#workers) void worker.terminate();
  }

  /** Until each of the others has counted itself; then the count begins anew. */
  #awaitOthers(timeoutMs = Number.POSITIVE_INFINITY): void {
    const deadline = Date.now() + timeoutMs;
    const others = this.#workers.length;
    for (let done = Atomics.load(this.#words, DONE); done < others; done = Atomics.load(this.#words, DONE)) {
      if (Atomics.wait(this.#words, DONE, done, deadline - Date.now()) !== "timed-out") continue;
      this.close();
      throw new LightMambaError("prerequisite", "the threads did not start", { expected: others, found: done });
    }
    Atomics.store(this.#words, DONE, 0);
  }
}

function partBytes(threads: number): number {
  return Math.ceil(BUFFER_BYTES / threads / BEAT_BYTES) * BEAT_BYTES;
}

/** A function that reads so many bytes of a memory of its own, several times; a variant has its memory as its models have. */
function reader({ sizeBytes, variant }: Part): () => void {
  const engine = instantiate(variant);
  const buffer = allocate(engine, sizeBytes, "the measurement of bandwidth");
  // Pages that were never written are one and the same page, which a cache holds.
  new Uint8Array(engine.memory.buffer, buffer, sizeBytes).fill(1);
  return () => {
    for (let pass = 0; pass < PASSES; pass++) engine.exports.readBytes(buffer, sizeBytes);
  };
}

interface Part {
  role: typeof ROLE;
  words: Int32Array;
  sizeBytes: number;
  variant: Variant;
}

const ROLE = "lightmamba bandwidth";

/** The life of the other threads. */
function serve(part: Part): void {
  const { words } = part;
  const read = reader(part);
  for (let round = 0; ; round++) {
    Atomics.add(words, DONE, 1);
    Atomics.notify(words, DONE);
    Atomics.wait(words, GO, round);
    read();
  }
}

if (!isMainThread && (workerData as Part | undefined)?.role === ROLE) serve(workerData as Part);
