/**
 * One lane of the quantizer: a share of the calibration texts, run through the FP32 model and through the quantized one
 * side by side, a layer at a time. Lanes run in threads of their own (pool.ts); what they return does not depend on how
 * many there are.
 */
import type { Mamba2Config } from "../checkpoint/types.ts";
import type { ActivationBits, Rotation } from "../model/description.ts";
import { type BlockRun, blockInner, blockInput, blockOutput } from "../reference/block.ts";
import { type Maxima, maximaHook, type OnlineHadamard, type ReferenceLayer } from "../reference/index.ts";
import { placeActivations, placeLayer, placeState } from "../reference/layout.ts";
import { Arena, Offline } from "../reference/offline.ts";
import { SharedBuffers, shareable } from "../reference/shared.ts";
import { copyLayer, placeHadamard } from "../reference/store.ts";
import type { HeadInputs } from "./divergence.ts";
import { addOnGrid, type GramSums, gridSteps, mirror, newSums } from "./gram.ts";
import { ResidualRotation } from "./rotate.ts";

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
  /** Embedding rows [S·T, D], in shared memory. */
  residual: Float32Array;
}

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
  readonly #shared = new SharedBuffers();
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

  /** Takes chunks on; both models start from the same rows, which are rotated here. */
  begin(chunks: Chunk[], rotation: Rotation): void {
    const rotate = new ResidualRotation(rotation, this.#setup.config.dModel);
    for (const { index, residual } of chunks) {
      rotate.rows(residual);
      this.resume([{ index, exact: residual, rounded: residual.slice() }]);
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
      // Shared, so that the main thread can save them without a copy.
      this.#exact.set(index, { residual: shareable(exact), inner: new Map() });
      this.#rounded.set(index, { residual: shareable(rounded), inner: new Map() });
    }
  }

  /** Inputs of the next matrix that reads the residual: in_proj of a layer, or lm_head. */
  inputs(norm: Float32Array): GramSums {
    this.setNorm(norm);
    const { dModel } = this.#setup.config;
    const sums = newSums(this.#shared, dModel);
    for (const index of this.#exact.keys()) {
      this.#keepTransposed(0, this.#input(this.#exact.get(index)!, false), dModel);
      this.#keepTransposed(1, this.#input(this.#rounded.get(index)!, true), dModel);
      this.#addGram(sums, dModel, gridSteps(UNIT_GAMMA));
    }
    mirror(sums.own, dModel);
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
    const sums = newSums(this.#shared, dInner);
    const steps = gridSteps(gamma);
    for (const index of this.#exact.keys()) {
      this.#keepTransposed(0, put(this.#exact.get(index)!), dInner);
      this.#keepTransposed(1, put(this.#rounded.get(index)!), dInner);
      this.#addGram(sums, dInner, steps);
    }
    mirror(sums.own, dInner);
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

  /** What lm_head reads of chunk `index` in both models, [rows, D]; undefined when this lane does not have it. */
  headInputs(index: number): HeadInputs | undefined {
    const [exact, rounded] = [this.#exact.get(index), this.#rounded.get(index)];
    if (!exact || !rounded) return undefined;
    const inputs = (stream: Stream, rounds: boolean) =>
      shareable(this.#offline.floats(this.#input(stream, rounds), stream.residual.length));
    return { exact: inputs(exact, false), rounded: inputs(rounded, true) };
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
    const { kernels } = this.#offline;
    kernels.matmul(product, exact, rounded, 0, k, k, rows);
    addOnGrid(cross, k, { block: this.#offline.floats(product, k * k), row: 0, column: 0, width: k }, steps);
    // X̂ᵀX̂ is symmetric: blocks on the diagonal and below are enough.
    const size = Math.ceil(k / GRAM_BLOCKS);
    for (let row = 0; row < k; row += size) {
      for (let column = 0; column <= row; column += size) {
        const [height, width] = [Math.min(size, k - row), Math.min(size, k - column)];
        kernels.matmul(product, rounded + 4 * row * rows, rounded + 4 * column * rows, 0, height, width, rows);
        addOnGrid(own, k, { block: this.#offline.floats(product, height * width), row, column, width }, steps);
      }
    }
  }
}

/** Blocks a side that a symmetric product is cut into. */
const GRAM_BLOCKS = 12;
/** γ1 is folded into in_proj. */
const UNIT_GAMMA = Float32Array.of(1);
