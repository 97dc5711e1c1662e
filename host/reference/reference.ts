import type { Mamba2Config } from "../checkpoint/types.ts";
import { badInput } from "../errors.ts";
import { type BlockRun, observe, runBlock } from "./block.ts";
import type { ReferenceHooks } from "./hooks.ts";
import { placeActivations, placeState, type StateAddresses } from "./layout.ts";
import { Arena, Offline } from "./offline.ts";
import { WeightStore } from "./store.ts";
import type { ReferenceWeights } from "./weights.ts";

/** Logits computed at a time: they leave for JavaScript's memory piece by piece. */
const LOGIT_PIECE = 4 * 2 ** 20;

export interface ReferenceOptions {
  /** Sequences that run side by side, each with a state of its own. */
  sequences: number;
  /** Keep all weights in the WebAssembly memory up to this size; above it, read them block by block in every call. */
  residentBytes?: number;
}

export interface ForwardOptions extends ReferenceHooks {
  /** Of every token, of each sequence's last, or none. Default "all". */
  logits?: "all" | "last" | "none";
  /** Also return the hidden states. */
  hidden?: boolean;
  /** Called after each block. */
  progress?(done: number, total: number): void;
}

export interface ForwardResult {
  /** [S, T, V], or [S, V] of the last tokens. */
  logits?: Float32Array;
  /** [nLayers + 1, S·T, D]: each block's output, then the output of the final norm. */
  hidden?: Float32Array;
}

/**
 * Mamba-2 in FP32. Layer by layer over all tokens of a call; the recurrent state of each sequence carries over from one
 * call to the next, and how a sequence is cut into calls does not change a bit of the result.
 */
export class Reference {
  readonly config: Mamba2Config;
  readonly sequences: number;
  private readonly weights: ReferenceWeights;
  private readonly offline = new Offline();
  private readonly store: WeightStore;
  private readonly states: StateAddresses[];
  private readonly stateStart: number;
  private readonly stateEnd: number;

  constructor(weights: ReferenceWeights, options: ReferenceOptions) {
    this.config = weights.config;
    this.sequences = options.sequences;
    this.weights = weights;
    const arena = new Arena(this.offline.start);
    this.store = new WeightStore(this.offline, weights, arena, options.residentBytes);
    this.stateStart = arena.end;
    this.states = Array.from({ length: this.config.nLayers }, () => placeState(arena, this.config, this.sequences));
    this.stateEnd = arena.end;
    this.offline.reserve(this.stateEnd);
  }

  /** Puts every sequence back to its start. */
  reset(): void {
    this.offline.floats(this.stateStart, (this.stateEnd - this.stateStart) / 4).fill(0);
  }

  /** For a caller that changed the weights in place: reads them again. */
  reloadWeights(): void {
    this.store.reload();
  }

  /** Runs [S, T] token ids, T as the length says. */
  forward(ids: Int32Array, options: ForwardOptions = {}): ForwardResult {
    const { nLayers, dModel } = this.config;
    const run = this.prepare(ids, options);
    const rows = ids.length;
    this.embed(ids, run.at.residual);
    const hidden = options.hidden ? new Float32Array((nLayers + 1) * rows * dModel) : undefined;
    const keep = (index: number, pointer: number) =>
      hidden?.set(this.offline.floats(pointer, rows * dModel), index * rows * dModel);

    for (let layer = 0; layer < nLayers; layer++) {
      runBlock(run, layer, this.store.layer(layer), this.states[layer]!);
      keep(layer, run.at.residual);
      options.progress?.(layer + 1, nLayers);
    }
    const { residual, stream } = run.at;
    observe(run, nLayers, "r", residual, rows, dModel, dModel);
    this.offline.kernels.rmsNorm(stream, residual, this.store.finalNorm, rows, dModel, dModel, this.config.normEps);
    keep(nLayers, stream);

    const result: ForwardResult = {};
    if (options.logits !== "none") result.logits = this.head(run, options.logits ?? "all");
    if (hidden) result.hidden = hidden;
    return result;
  }

  /** Checks the ids and makes room for a call. */
  private prepare(ids: Int32Array, hooks: ReferenceHooks): BlockRun {
    const { config, sequences, offline } = this;
    const tokens = ids.length / sequences;
    if (tokens < 1 || !Number.isInteger(tokens)) {
      throw badInput("token ids do not fill the sequences", {
        expected: `a multiple of ${sequences}`,
        found: ids.length,
      });
    }
    const wrong = ids.find((id) => id < 0 || id >= config.vocabSize);
    if (wrong !== undefined) {
      throw badInput("token id outside the vocabulary", { expected: `0 to ${config.vocabSize - 1}`, found: wrong });
    }
    const arena = new Arena(this.stateEnd);
    const at = placeActivations(arena, config, ids.length, Math.max(LOGIT_PIECE, this.store.headRows));
    offline.reserve(arena.end);
    return { offline, config, sequences, tokens, at, online: this.store.online, hooks };
  }

  private embed(ids: Int32Array, pointer: number): void {
    const { dModel } = this.config;
    const residual = this.offline.floats(pointer, ids.length * dModel);
    ids.forEach((id, row) => {
      residual.set(this.weights.embedding.subarray(id * dModel, (id + 1) * dModel), row * dModel);
    });
  }

  /** lm_head over the final norm's output, in pieces of the vocabulary and of the rows. */
  private head(run: BlockRun, which: "all" | "last"): Float32Array {
    const { offline, store } = this;
    const { dModel, vocabSize, nLayers } = this.config;
    const { stream, logits } = run.at;
    if (which === "last") this.gatherLast(run);
    const rows = this.sequences * (which === "last" ? 1 : run.tokens);
    run.hooks.linearInput?.({ layer: nLayers, matrix: "lm_head" }, offline.floats(stream, rows * dModel), rows);

    const out = new Float32Array(rows * vocabSize);
    const rowsAtOnce = Math.max(1, Math.floor(LOGIT_PIECE / store.headRows));
    for (let start = 0; start < vocabSize; start += store.headRows) {
      const columns = Math.min(store.headRows, vocabSize - start);
      const w = store.headPiece(start);
      for (let row = 0; row < rows; row += rowsAtOnce) {
        const count = Math.min(rowsAtOnce, rows - row);
        offline.kernels.matmul(logits, stream + 4 * row * dModel, w, 0, count, columns, dModel);
        for (let i = 0; i < count; i++) {
          out.set(offline.floats(logits + 4 * i * columns, columns), (row + i) * vocabSize + start);
        }
      }
    }
    return out;
  }

  /** Moves each sequence's last row to the front: rows s of `stream` for s < S. */
  private gatherLast(run: BlockRun): void {
    const { dModel } = this.config;
    const all = this.offline.floats(run.at.stream, this.sequences * run.tokens * dModel);
    for (let s = 0; s < this.sequences; s++) {
      const last = (s + 1) * run.tokens - 1;
      all.copyWithin(s * dModel, last * dModel, (last + 1) * dModel);
    }
  }
}
