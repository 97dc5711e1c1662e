/** How fast this machine reads memory, with the same threads as a model: what bounds the decoding of a large one. */
import { type Engine, instantiate } from "../runtime/engine.ts";
import { allocate } from "../runtime/load.ts";

/** Several times what the largest caches hold. */
const BUFFER_BYTES = 256 * 2 ** 20;
/** Passes of one measurement. */
const PASSES = 4;
const FILLED = 1;

export class BandwidthProbe {
  readonly threads: number;
  readonly #engine: Engine;
  readonly #buffer: number;

  constructor(threads: number) {
    this.threads = threads;
    this.#engine = instantiate();
    this.#buffer = allocate(this.#engine, BUFFER_BYTES, "the measurement of bandwidth");
    // Pages that were never written are one and the same page, which a cache holds.
    new Uint8Array(this.#engine.memory.buffer, this.#buffer, BUFFER_BYTES).fill(FILLED);
  }

  /** Bytes a second. */
  measure(): number {
    const begin = performance.now();
    for (let pass = 0; pass < PASSES; pass++) readBytes(this.#engine, this.#buffer, BUFFER_BYTES);
    return (1000 * PASSES * BUFFER_BYTES) / (performance.now() - begin);
  }
}

/** Reads every byte. Until the runtime has a kernel for it, by looking for a byte that is not there: Node's native search. */
function readBytes({ memory }: Engine, pointer: number, sizeBytes: number): void {
  if (Buffer.from(memory.buffer, pointer, sizeBytes).indexOf(FILLED + 1) >= 0)
    throw new Error("the buffer has changed");
}
