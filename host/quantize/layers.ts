/** Layer by layer: statistics of the inputs, rounding, and the integer constants. */
import type { Mamba2Config } from "../checkpoint/types.ts";
import type { Fractions, ModelDescription, Rotation } from "../model/description.ts";
import { inProjOrder, pack, plainOrder, type QuantizedMatrix, type RowOrder } from "../model/frames.ts";
import { HadamardTransform, hadamardSigns } from "../model/hadamard.ts";
import type { Maxima, ReferenceLayer, ReferenceWeights } from "../reference/index.ts";
import { matrixSizes } from "../reference/layout.ts";
import { SharedBuffers, sharedFloats } from "../reference/shared.ts";
import { type CalibrationIds, CHUNK_TEXTS, embeddedChunks, lastChunk } from "./calibrate.ts";
import { layerConstants } from "./constants.ts";
import { type InverseGamma, joinEmbedding } from "./embedding.ts";
import { type Feedback, outputLoss } from "./feedback.ts";
import { chooseFractions, residualFraction } from "./fractions.ts";
import { type GramSums, joinSums } from "./gram.ts";
import { divergenceOfChunk, rotatedHead } from "./head.ts";
import type { InnerBasis, SavedStream } from "./lane.ts";
import type { Pool } from "./pool.ts";
import type { Recipe } from "./recipe.ts";
import type { LayerRecord, ResumeStore } from "./resume.ts";
import { rotatedLayer } from "./rotate.ts";
import { type RoundRules, signalToNoise } from "./round.ts";

export interface LayerOptions extends CalibrationIds {
  recipe: Recipe;
  rotation: Rotation;
  /** Choose for each layer whether the vector before out_proj is rotated. */
  chooseInner: boolean;
  /** For an embedding out of lm_head. */
  inverseGamma?: InverseGamma | undefined;
  /** Where finished layers are kept, and under which name. */
  store: ResumeStore;
  pass: string;
  progress?(phase: string, done: number, total: number): void;
}

export interface RoundedModel {
  rotation: Rotation;
  residualFraction: number;
  fractions: Fractions[];
  errors: ModelDescription["errors"];
  /** Mean KL(FP32 ‖ quantized) on the last calibration texts, simulated in floating point: nats per token. */
  calibrationKl: number;
  /** Fraction bits of embedding.inverse_gamma; 0 where there is none. */
  embeddingFraction: number;
  /** By the names of docs/format.md. */
  tensors: Map<string, ArrayBufferView>;
}

export async function quantizeLayers(
  pool: Pool,
  plain: ReferenceWeights,
  options: LayerOptions,
): Promise<RoundedModel> {
  return new LayerQuantizer(pool, plain, options).run();
}

class LayerQuantizer {
  readonly #pool: Pool;
  readonly #config: Mamba2Config;
  readonly #options: LayerOptions;
  readonly #plain: ReferenceWeights;
  /** The next layer's weights, rotated while the threads had nothing to do. */
  #upcoming: { index: number; weights: ReferenceLayer } | undefined;
  /** Keeps the layer before on disk: done while the threads are busy with the next. */
  #save = () => {};
  #streams: SavedStream[] = [];
  readonly #shared = new SharedBuffers();
  readonly #innerUnit: number;
  /** What the integer constants need, once all magnitudes are known; the matrices are rounded and gone. */
  readonly #layers: { weights: ReferenceLayer; maxima: Maxima[number] }[] = [];
  readonly #orders: { inProj: RowOrder; outProj: RowOrder };
  readonly #unrotated: number[] = [];
  readonly #tensors = new Map<string, ArrayBufferView>();
  readonly #errors: ModelDescription["errors"] = { layers: [], headDb: 0 };

  constructor(pool: Pool, plain: ReferenceWeights, options: LayerOptions) {
    const { config } = plain;
    this.#pool = pool;
    this.#config = config;
    this.#options = options;
    this.#plain = plain;
    // The HTU does not normalise: its factor is in the weights.
    this.#innerUnit = new HadamardTransform(options.rotation.inner).unit;
    this.#orders = { inProj: inProjOrder(config), outProj: plainOrder(config.dModel) };
  }

  async run(): Promise<RoundedModel> {
    const { nLayers } = this.#config;
    const { store, pass } = this.#options;
    const maxima: Maxima = [];
    const done = store.done(pass);
    await this.#begin(done);
    for (let i = 0; i < nLayers; i++) {
      this.#progress(i);
      if (i < done) this.#keepLayer(i, this.#weights(i), store.layer(pass, i));
      else await this.#layer(i);
      maxima[i] = this.#layers[i]!.maxima;
    }
    this.#progress(nLayers);
    maxima[nLayers] = { r: Math.max(...(await this.#pool.all("residualMaximum"))) };
    const calibrationKl = await this.#head();
    const fr = residualFraction(maxima);
    const fractions = this.#layers.map(({ weights, maxima: seen }, i) =>
      chooseFractions(this.#config, weights, seen, i),
    );
    fractions.forEach((f, i) => void this.#keepConstants(i, f, fr));
    const embeddingFraction = await this.#keepEmbedding();
    this.#progress(nLayers + 1);
    return {
      calibrationKl,
      embeddingFraction,
      rotation: { ...this.#options.rotation, unrotated: this.#unrotated },
      residualFraction: fr,
      fractions,
      errors: this.#errors,
      tensors: this.#tensors,
    };
  }

  #rules(matrix: string): RoundRules {
    const { group, powerOfTwoScales, wide } = this.#options.recipe.weights;
    return { bits: wide.includes(matrix) ? 8 : 4, group, powerOfTwo: powerOfTwoScales };
  }

  get #feedsBack(): boolean {
    return this.#options.recipe.weights.method === "gptq";
  }

  #progress(layer: number): void {
    this.#options.progress?.("quantizing", layer, this.#config.nLayers + 1);
  }

  /** Starts the streams at the embedding, or behind the layers that an earlier run has done. */
  async #begin(done: number): Promise<void> {
    const { ids, length, recipe, rotation } = this.#options;
    await this.#pool.all("setup", {
      config: this.#config,
      online: { ...rotation.inner, signs: hadamardSigns(rotation.inner.order) },
      activationBits: recipe.activationBits,
      tokens: length,
      sequences: Math.min(CHUNK_TEXTS, ids.length / length),
    });
    if (done > 0) {
      const { store, pass } = this.#options;
      await this.#pool.deal("resume", store.streams(pass, done - 1), (share) => [share]);
    } else {
      await this.#pool.deal("begin", embeddedChunks(this.#options, this.#plain), (share) => [share, rotation]);
    }
    this.#streams = (await this.#pool.all("streams")).flat();
  }

  /** A layer's weights in the rotated basis, in memory that all threads see. */
  #weights(index: number): ReferenceLayer {
    const ready = this.#upcoming;
    this.#upcoming = undefined;
    return ready?.index === index ? ready.weights : this.#rotated(index);
  }

  #prepare(index: number): void {
    if (index >= this.#config.nLayers || this.#upcoming?.index === index) return;
    this.#upcoming = { index, weights: this.#rotated(index) };
  }

  /** In the place of the layer before the last. */
  #rotated(index: number): ReferenceLayer {
    const { inProj, outProj } = matrixSizes(this.#config);
    return rotatedLayer(this.#plain, this.#options.rotation, index, {
      inProj: this.#shared.floats(`in_proj ${index % 2}`, inProj),
      outProj: this.#shared.floats(`out_proj ${index % 2}`, outProj),
    });
  }

  async #layer(i: number): Promise<void> {
    const { dModel } = this.#config;
    let weights = this.#weights(i);
    const maxima = this.#pool.all("residualMaximum");
    const inFactors = await this.#inFactors(weights.norm);
    const r = Math.max(...(await maxima));
    const inRounded = this.#shared.floats("in_proj rounded", weights.inProj.length);
    const inProj = await this.#pool.round(
      weights.inProj,
      inRounded,
      dModel,
      this.#rules(`layers.${i}.in_proj`),
      inFactors,
    );
    if (this.#options.recipe.smooth) weights = await this.#smoothed(weights, inProj.values);
    const bases = this.#bases();
    const seen = await this.#pool.all("inner", weights, inProj.values, bases);
    const outProj = await this.#outProj(i, weights, bases);

    const tensors = new Map([
      ...matrixTensors(`layers.${i}.in_proj`, inProj.matrix, this.#orders.inProj),
      ...matrixTensors(`layers.${i}.out_proj`, outProj.rounded.matrix, this.#orders.outProj),
    ]);
    const record: LayerRecord = {
      tensors,
      error: {
        inProjDb: signalToNoise(weights.inProj, inProj.values),
        outProjDb: signalToNoise(outProj.exact, outProj.rounded.values),
      },
      maxima: { ...maximum(seen), r },
      unrotated: outProj.basis === "plain" && bases.length > 1,
      gateNorm: weights.gateNorm,
    };
    this.#keepLayer(i, weights, record);
    this.#save = () => this.#options.store.keepLayer(this.#options.pass, i, record, this.#streams);
  }

  /** Factors for the next matrix that reads the residual. Nothing changes the streams meanwhile: the time to save them. */
  async #inFactors(norm: Float32Array): Promise<Feedback | undefined> {
    const { dModel } = this.#config;
    const gram = this.#gram(() => this.#pool.all("inputs", norm));
    this.#save();
    this.#save = () => {};
    const sums = await gram;
    return sums && this.#pool.factors(sums, dModel);
  }

  #keepLayer(i: number, weights: ReferenceLayer, record: LayerRecord): void {
    for (const [name, view] of record.tensors) this.#tensors.set(name, view);
    this.#errors.layers[i] = record.error;
    if (record.unrotated) this.#unrotated.push(i);
    const light = { ...weights, gateNorm: record.gateNorm, inProj: NOTHING, outProj: NOTHING };
    this.#layers[i] = { weights: light, maxima: record.maxima };
  }

  #bases(): InnerBasis[] {
    if (this.#options.chooseInner) return ["rotated", "plain"];
    return this.#options.rotation.inner.blocks === this.#config.dInner ? ["plain"] : ["rotated"];
  }

  /** γ2 / s and out_proj · s with s = sqrt(max |u| / max |w|) per channel: the same function, flatter activations. */
  async #smoothed(weights: ReferenceLayer, inValues: Float32Array): Promise<ReferenceLayer> {
    const { dInner } = this.#config;
    await this.#pool.all("inner", weights, inValues, ["plain"]);
    const channels = await this.#pool.all("innerChannels", "plain");
    const scale = new Float32Array(dInner);
    for (let c = 0; c < dInner; c++) {
      let largest = 0;
      for (let at = c; at < weights.outProj.length; at += dInner)
        largest = Math.max(largest, Math.abs(weights.outProj[at]!));
      const most = Math.max(...channels.map((part) => part[c]!));
      scale[c] = most > 0 && largest > 0 ? Math.sqrt(most / largest) : 1;
    }
    const outProj = this.#shared.mapped("smoothed", weights.outProj, (value, at) => value * scale[at % dInner]!);
    return { ...weights, gateNorm: weights.gateNorm.map((value, c) => value / scale[c]!), outProj };
  }

  /** Rounds out_proj in each basis, keeps the one with the smaller loss, and moves the streams on. */
  async #outProj(i: number, weights: ReferenceLayer, bases: InnerBasis[]) {
    const { dInner } = this.#config;
    const candidates = [];
    for (const basis of bases) {
      const plain = basis === "plain";
      // With both bases at hand the layer's weights are in the rotated one.
      const inBasis = plain && bases.length > 1 ? this.#innerUndone(weights.outProj) : weights.outProj;
      // The HTU does not normalise: its factor is in the weights.
      const unit = plain ? 1 : this.#innerUnit;
      const exact = this.#shared.mapped(`exact ${basis}`, inBasis, (value) => value * unit);
      const gram = await this.#gram(() => this.#pool.all("innerInputs", basis, weights.gateNorm), bases.length > 1);
      const factoring = gram && this.#feedsBack ? this.#pool.factors(gram, dInner) : undefined;
      // One thread factors, the others wait.
      this.#prepare(i + 1);
      const factors = await factoring;
      const target = this.#shared.floats(`rounded ${basis}`, exact.length);
      const rounded = await this.#pool.round(exact, target, dInner, this.#rules(`layers.${i}.out_proj`), factors);
      const values = this.#shared.mapped(`values ${basis}`, rounded.values, (value) => value / unit);
      const loss = gram && bases.length > 1 ? outputLoss(gram, inBasis, values, dInner) : 0;
      candidates.push({ basis, exact, inBasis, rounded, values, loss });
    }
    const best = candidates.reduce((a, b) => (b.loss < a.loss ? b : a));
    await this.#pool.all("output", best.inBasis, best.values, weights.outProjBias, best.basis);
    return best;
  }

  /** out_proj in the basis before the Hadamard transform. */
  #innerUndone(outProj: Float32Array): Float32Array {
    const { dInner } = this.#config;
    const transform = new HadamardTransform(this.#options.rotation.inner);
    const out = this.#shared.floats("plain basis", outProj.length);
    for (let at = 0; at < out.length; at += dInner) {
      const row = Float64Array.from(outProj.subarray(at, at + dInner), (value) => value * transform.unit);
      transform.applyTransposed(row);
      out.set(row, at);
    }
    return out;
  }

  /** Returns the KL on the last chunk of the calibration text. */
  async #head(): Promise<number> {
    const { dModel, vocabSize } = this.#config;
    // Its γ is in lm_head.
    const norm = new Float32Array(dModel).fill(1);
    const factors = await this.#inFactors(norm);
    const lmHead = await rotatedHead(this.#pool, this.#plain, this.#options.rotation);
    const rounded = sharedFloats(lmHead.length);
    const { matrix, values } = await this.#pool.round(lmHead, rounded, dModel, this.#rules("lm_head"), factors);
    this.#errors.headDb = signalToNoise(lmHead, values);
    for (const [name, view] of matrixTensors("lm_head", matrix, plainOrder(vocabSize))) this.#tensors.set(name, view);
    await this.#pool.all("setNorm", norm);
    return divergenceOfChunk(this.#pool, this.#config, lastChunk(this.#options), { exact: lmHead, rounded: values });
  }

  async #gram(statistics: () => Promise<GramSums[]>, always = false): Promise<GramSums | undefined> {
    return this.#feedsBack || always ? joinSums(await statistics()) : undefined;
  }

  #keepConstants(i: number, fractions: Fractions, fr: number): void {
    const constants = layerConstants(this.#config, this.#layers[i]!.weights, fractions, this.#orders, fr);
    const keep = (name: string, view: ArrayBufferView | undefined) =>
      view && this.#tensors.set(`layers.${i}.${name}`, view);
    keep("in_proj.bias", constants.inProjBias);
    keep("out_proj.bias", constants.outProjBias);
    keep("conv.weight", constants.convWeight);
    keep("conv.bias", constants.convBias);
    keep("decay", constants.decay);
    keep("decay_shift", constants.decayShift);
    keep("dt_bias", constants.dtBias);
    keep("skip", constants.skip);
    keep("gate_norm", constants.gateNorm);
  }

  /** Returns the fraction bits of inverse γ, or 0. */
  async #keepEmbedding(): Promise<number> {
    const inverse = this.#options.inverseGamma;
    if (inverse) {
      this.#tensors.set("embedding.inverse_gamma", inverse.values);
      return inverse.fraction;
    }
    const { vocabSize, dModel } = this.#config;
    const parts = await this.#pool.split("embedding", vocabSize, (range) => [
      this.#plain.embedding,
      range,
      this.#options.rotation,
      dModel,
    ]);
    const { codes, scale, exponent } = joinEmbedding(parts);
    this.#tensors.set("embedding.codes", codes);
    this.#tensors.set("embedding.scale", scale);
    this.#tensors.set("embedding.exponent", exponent);
    return 0;
  }
}

const NOTHING = new Float32Array(0);

function matrixTensors(name: string, matrix: QuantizedMatrix, order: RowOrder): [string, Uint8Array | Int8Array][] {
  const { frames, rowExponents } = pack(matrix, order);
  return [
    [`${name}.frames`, frames],
    [`${name}.row_exponent`, rowExponents],
  ];
}

function maximum(parts: Maxima): Maxima[number] {
  const all: Maxima[number] = {};
  for (const part of parts) {
    for (const [name, value] of Object.entries(part) as [keyof Maxima[number], number][]) {
      all[name] = Math.max(all[name] ?? 0, value);
    }
  }
  return all;
}
