/**
 * One lane of the quantizer: a share of the calibration texts, run through the FP32 model and through the quantized one
 * side by side, a layer at a time. Lanes run in threads of their own (pool.ts); what they return does not depend on how
 * many there are.
 */
import type { Mamba2Config } from "../checkpoint/types.ts";
import type { ActivationBits } from "../model/description.ts";
import { type BlockRun, blockInner, blockInput, blockOutput } from "../reference/block.ts";
import { type Maxima, maximaHook, type OnlineHadamard, type ReferenceLayer } from "../reference/index.ts";
import { placeActivations, placeLayer, placeState } from "../reference/layout.ts";
import { Arena, Offline } from "../reference/offline.ts";
import { copyLayer, placeHadamard } from "../reference/store.ts";

export interface LaneSetup {
  config: Mamba2Config;
  online: OnlineHadamard;
  activationBits: ActivationBits;
  /** Tokens of each text, and texts of a chunk at most. */
  tokens: number;
  sequences: number;
}

/** Texts that are computed together. */
export interface Chunk {
  index: number;
  /** Embedding rows [S·T, D]. */
  residual: Float32Array;
}

/**
 * Sums over rows of X̂ᵀX̂ and X̃ᵀX̂, [K, K] in FP64: X̂ what the quantized model's layer sees, X̃ the FP32 model's. Every
 * chunk's part is rounded to one grid, on which FP64 adds without error: the sums do not depend on the lanes' number.
 */
export interface GramSums {
  own: Float64Array;
  cross: Float64Array;
}

/** Steps per unit of a mean square of 1. Sums stay exact up to 2^33 such units, far more than any text has. */
const GRAM_STEPS = 2 ** 20;

/** With the Hadamard transform before out_proj, or without. */
export type InnerBasis = "rotated" | "plain";

/** A chunk between two layers, for a run that goes on later. */
export interface SavedStream {
  index: number;
  exact: Float32Array;
  rounded: Float32Array;
}

interface Stream {
  /** [S·T, D]. */
  residual: Float32Array;
  /** Inputs of out_proj [S·T, E] in each basis asked for, between `inner` and `output`. */
  inner: Map<InnerBasis, Float32Array>;
}

export class Lane {
  readonly #setup: LaneSetup;
  readonly #offline = new Offline();
  readonly #weights: ReturnType<typeof placeLayer>;
  readonly #state: ReturnType<typeof placeState>;
  readonly #stateFloats: [start: number, count: number];
  readonly #run: BlockRun;
  /** Two [K, S·T] and one [K, K]. */
  readonly #gram: [number, number, number];
  readonly #exact = new Map<number, Stream>();
  readonly #rounded = new Map<number, Stream>();

  constructor(setup: LaneSetup) {
    this.#setup = setup;
    const { config, online, tokens, sequences } = setup;
    const arena = new Arena(this.#offline.start);
    const rows = tokens * sequences;
    this.#weights = placeLayer(arena, config);
    const stateStart = arena.end;
    this.#state = placeState(arena, config, sequences);
    this.#stateFloats = [stateStart, (arena.end - stateStart) / 4];
    const placed = placeHadamard(arena, setup)!;
    const at = placeActivations(arena, config, rows, 1);
    const k = Math.max(config.dModel, config.dInner);
    this.#gram = [arena.floats(k * rows), arena.floats(k * rows), arena.floats(k * k)];
    this.#offline.reserve(arena.end);
    this.#offline.bytes(placed.signs, online.signs.length).set(online.signs);
    this.#run = { offline: this.#offline, config, sequences, tokens, at, online: placed, hooks: {} };
  }

  /** Takes chunks on; both models start from the same rows. */
  begin(chunks: Chunk[]): void {
    for (const { index, residual } of chunks) {
      this.#exact.set(index, { residual, inner: new Map() });
      this.#rounded.set(index, { residual: residual.slice(), inner: new Map() });
    }
  }

  streams(): SavedStream[] {
    return [...this.#exact].map(([index, { residual }]) => ({
      index,
      exact: residual,
      rounded: this.#rounded.get(index)!.residual,
    }));
  }

  /** Takes on chunks where an earlier run left them. */
  resume(saved: SavedStream[]): void {
    for (const { index, exact, rounded } of saved) {
      this.#exact.set(index, { residual: exact, inner: new Map() });
      this.#rounded.set(index, { residual: rounded, inner: new Map() });
    }
  }

  /** Inputs of the next matrix that reads the residual: in_proj of a layer, or lm_head. */
  inputs(norm: Float32Array): GramSums {
    this.setNorm(norm);
    const { dModel } = this.#setup.config;
    const sums = newSums(dModel);
    for (const index of this.#exact.keys()) {
      this.#keepTransposed(0, this.#input(this.#exact.get(index)!, false), dModel);
      this.#keepTransposed(1, this.#input(this.#rounded.get(index)!, true), dModel);
      this.#addGram(sums, dModel, GRAM_STEPS);
    }
    return sums;
  }

  /** The norm in front of the next matrix. */
  setNorm(norm: Float32Array): void {
    this.#offline.floats(this.#weights.norm, norm.length).set(norm);
  }

  /** Largest residual magnitude of the FP32 model. */
  residualMaximum(): number {
    let most = 0;
    for (const { residual } of this.#exact.values())
      for (const value of residual) most = Math.max(most, Math.abs(value));
    return most;
  }

  /**
   * Through in_proj, conv and scan up to out_proj's input in each of the bases: the FP32 model with `exact`, the
   * quantized one with `inProj`. Returns the magnitudes of the FP32 model.
   */
  inner(exact: ReferenceLayer, inProj: Float32Array, bases: InnerBasis[]): Maxima[number] {
    const maxima: Maxima = [];
    copyLayer(this.#offline, this.#setup.config, this.#weights, exact);
    for (const stream of this.#exact.values()) this.#inner(stream, false, maximaHook(maxima), bases);
    this.#offline.floats(this.#weights.inProj, inProj.length).set(inProj);
    for (const stream of this.#rounded.values()) this.#inner(stream, true, {}, bases);
    return maxima[0] ?? {};
  }

  /** Largest magnitude of each channel of the FP32 model's inputs of out_proj, [E]. */
  innerChannels(basis: InnerBasis): Float32Array {
    const { dInner } = this.#setup.config;
    const most = new Float32Array(dInner);
    for (const { inner } of this.#exact.values()) {
      inner.get(basis)!.forEach((value, i) => {
        most[i % dInner] = Math.max(most[i % dInner]!, Math.abs(value));
      });
    }
    return most;
  }

  /** Inputs of out_proj, as `inner` left them; `gamma` is γ2, which sets their size. */
  innerInputs(basis: InnerBasis, gamma: Float32Array): GramSums {
    const { dInner } = this.#setup.config;
    const { at } = this.#run;
    const put = (stream: Stream) => {
      const inner = stream.inner.get(basis)!;
      this.#run.sequences = this.#rows(stream) / this.#setup.tokens;
      this.#offline.floats(at.inner, inner.length).set(inner);
      return at.inner;
    };
    const sums = newSums(dInner);
    const steps = GRAM_STEPS / powerOfTwoNear(meanSquare(gamma));
    for (const index of this.#exact.keys()) {
      this.#keepTransposed(0, put(this.#exact.get(index)!), dInner);
      this.#keepTransposed(1, put(this.#rounded.get(index)!), dInner);
      this.#addGram(sums, dInner, steps);
    }
    return sums;
  }

  /** Adds out_proj's output to the residuals: `exact` of the FP32 model, `outProj` of the quantized one, in one basis. */
  output(exact: Float32Array, outProj: Float32Array, bias: Float32Array | undefined, basis: InnerBasis): void {
    if (bias) this.#offline.floats(this.#weights.outProjBias, bias.length).set(bias);
    this.#offline.floats(this.#weights.outProj, exact.length).set(exact);
    for (const stream of this.#exact.values()) this.#output(stream, basis);
    this.#offline.floats(this.#weights.outProj, outProj.length).set(outProj);
    for (const stream of this.#rounded.values()) this.#output(stream, basis);
  }

  /**
   * Sum over the rows of chunk `index` of KL(FP32 ‖ quantized) in nats, and the rows; zeros when this lane does not have
   * it. Heads [V, D].
   */
  divergence(index: number, exact: Float32Array, rounded: Float32Array): { sum: number; rows: number } {
    const stream = this.#exact.get(index);
    if (!stream) return { sum: 0, rows: 0 };
    const { dModel, vocabUsed } = this.#setup.config;
    const rows = this.#rows(stream);
    const inputs = [
      this.#offline.floats(this.#input(stream, false), rows * dModel).slice(),
      this.#offline.floats(this.#input(this.#rounded.get(index)!, true), rows * dModel).slice(),
    ] as const;
    return { sum: headDivergence(inputs, [exact, rounded], { dModel, vocabUsed, rows }), rows };
  }

  #rows(stream: Stream): number {
    return stream.residual.length / this.#setup.config.dModel;
  }

  #prepare(stream: Stream): void {
    this.#run.sequences = this.#rows(stream) / this.#setup.tokens;
    this.#offline.floats(this.#run.at.residual, stream.residual.length).set(stream.residual);
  }

  /** The normed residual, rounded to codes where `rounds`; returns its address. */
  #input(stream: Stream, rounds: boolean): number {
    this.#prepare(stream);
    blockInput({ ...this.#run, hooks: {} }, 0, this.#weights);
    const { at } = this.#run;
    const { dModel } = this.#setup.config;
    if (rounds) this.#round(at.stream, this.#rows(stream), dModel);
    return at.stream;
  }

  #round(x: number, rows: number, n: number): void {
    this.#offline.kernels.quantizeActivations(x, rows, n, this.#setup.activationBits);
  }

  #inner(stream: Stream, rounds: boolean, hooks: BlockRun["hooks"], bases: InnerBasis[]): void {
    stream.inner.clear();
    for (const basis of bases) stream.inner.set(basis, this.#innerIn(stream, rounds, hooks, basis));
  }

  #innerIn(stream: Stream, rounds: boolean, hooks: BlockRun["hooks"], basis: InnerBasis): Float32Array {
    this.#input(stream, rounds);
    const run = { ...this.#run, hooks, online: basis === "rotated" ? this.#run.online : undefined };
    this.#offline.floats(...this.#stateFloats).fill(0);
    blockInner(run, 0, this.#weights, this.#state);
    const { dInner } = this.#setup.config;
    const rows = this.#rows(stream);
    if (rounds) this.#round(run.at.inner, rows, dInner);
    return this.#offline.floats(run.at.inner, rows * dInner).slice();
  }

  #output(stream: Stream, basis: InnerBasis): void {
    this.#prepare(stream);
    const { at } = this.#run;
    const inner = stream.inner.get(basis)!;
    this.#offline.floats(at.inner, inner.length).set(inner);
    blockOutput(this.#run, 0, this.#weights);
    stream.residual.set(this.#offline.floats(at.residual, stream.residual.length));
  }

  #keepTransposed(slot: 0 | 1, x: number, k: number): void {
    this.#offline.kernels.transpose(this.#gram[slot], x, this.#run.sequences * this.#setup.tokens, k);
  }

  #addGram({ own, cross }: GramSums, k: number, steps: number): void {
    const rows = this.#run.sequences * this.#setup.tokens;
    const [exact, rounded, product] = this.#gram;
    this.#offline.kernels.matmul(product, exact, rounded, 0, k, k, rows);
    addOnGrid(cross, this.#offline.floats(product, k * k), steps);
    addOnGrid(own, this.#ownGram(k, rows), steps);
  }

  /** X̂ᵀX̂ [K, K] by blocks: it is symmetric, so those above the diagonal are copies. */
  #ownGram(k: number, rows: number): Float32Array {
    const [free, rounded] = this.#gram;
    const own = new Float32Array(k * k);
    const size = Math.ceil(k / GRAM_BLOCKS);
    for (let top = 0; top < k; top += size) {
      for (let left = 0; left <= top; left += size) {
        const [height, width] = [Math.min(size, k - top), Math.min(size, k - left)];
        const at = (row: number) => rounded + 4 * row * rows;
        this.#offline.kernels.matmul(free, at(top), at(left), 0, height, width, rows);
        const block = this.#offline.floats(free, height * width);
        for (let i = 0; i < height; i++) {
          for (let j = 0; j < width; j++) {
            const value = block[i * width + j]!;
            own[(top + i) * k + left + j] = value;
            own[(left + j) * k + top + i] = value;
          }
        }
      }
    }
    return own;
  }
}

function newSums(k: number): GramSums {
  return { own: new Float64Array(k * k), cross: new Float64Array(k * k) };
}

function addOnGrid(sum: Float64Array, part: Float32Array, steps: number): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += Math.round(part[i]! * steps) / steps;
}

function meanSquare(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0) / values.length;
}

function powerOfTwoNear(value: number): number {
  return value > 0 ? 2 ** Math.round(Math.log2(value)) : 1;
}

/** Blocks a side that a symmetric product is cut into. */
const GRAM_BLOCKS = 6;

/** Rows whose logits are held at a time. */
const LOGIT_ROWS = 128;

/** Σ KL(exact ‖ rounded) over rows of inputs [rows, D] through heads [V, D], padding of the vocabulary left out. */
function headDivergence(
  inputs: readonly [exact: Float32Array, rounded: Float32Array],
  heads: readonly [exact: Float32Array, rounded: Float32Array],
  { dModel, vocabUsed, rows }: { dModel: number; vocabUsed: number; rows: number },
): number {
  const offline = new Offline();
  const { kernels } = offline;
  const arena = new Arena(offline.start);
  const at = [0, 1].map(() => ({
    head: arena.floats(vocabUsed * dModel),
    x: arena.floats(LOGIT_ROWS * dModel),
    logits: arena.floats(LOGIT_ROWS * vocabUsed),
  }));
  offline.reserve(arena.end);
  at.forEach(({ head }, i) => {
    offline.floats(head, vocabUsed * dModel).set(heads[i]!.subarray(0, vocabUsed * dModel));
  });
  let sum = 0;
  for (let start = 0; start < rows; start += LOGIT_ROWS) {
    const count = Math.min(LOGIT_ROWS, rows - start);
    at.forEach(({ head, x, logits }, i) => {
      offline.floats(x, count * dModel).set(inputs[i]!.subarray(start * dModel, (start + count) * dModel));
      kernels.matmul(logits, x, head, 0, count, vocabUsed, dModel);
    });
    for (let r = 0; r < count; r++) {
      const [exact, rounded] = at.map(({ logits }) => logits + 4 * r * vocabUsed) as [number, number];
      const norms = [kernels.logSumExp(rounded, vocabUsed), kernels.logSumExp(exact, vocabUsed)] as const;
      sum += kernels.divergence(rounded, norms[0], exact, norms[1], vocabUsed);
    }
  }
  return sum;
}
