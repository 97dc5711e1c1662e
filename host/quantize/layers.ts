/** Layer by layer: statistics of the inputs, rounding, and the integer constants. */
import type { Mamba2Config } from "../checkpoint/types.ts";
import type { Fractions, ModelDescription, Rotation } from "../model/description.ts";
import { inProjOrder, pack, plainOrder, type QuantizedMatrix, type RowOrder } from "../model/frames.ts";
import { HadamardTransform, hadamardSigns } from "../model/hadamard.ts";
import type { Maxima, ReferenceLayer, ReferenceWeights } from "../reference/index.ts";
import { layerConstants } from "./constants.ts";
import { quantizeEmbedding } from "./embedding.ts";
import { type Feedback, Gram } from "./feedback.ts";
import { chooseFractions, residualFraction } from "./fractions.ts";
import type { GramPart } from "./lane.ts";
import { type Pool, shareable } from "./pool.ts";
import type { Recipe } from "./recipe.ts";
import { rotateWeights } from "./rotate.ts";
import { type RoundRules, signalToNoise } from "./round.ts";

/** Texts that are computed together: memory grows with it, nothing else. */
const CHUNK_TEXTS = 8;

export interface LayerOptions {
  recipe: Recipe;
  rotation: Rotation;
  /** Calibration texts [S, length]. */
  ids: Int32Array;
  length: number;
  progress?(phase: string, done: number, total: number): void;
}

export interface RoundedModel {
  rotation: Rotation;
  residualFraction: number;
  fractions: Fractions[];
  errors: ModelDescription["errors"];
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
  readonly #rotated: ReferenceWeights;
  readonly #rules: RoundRules;
  readonly #innerUnit: number;
  /** What the integer constants need, once all magnitudes are known; the matrices are rounded and gone. */
  readonly #layers: { weights: ReferenceLayer; maxima: Maxima[number] }[] = [];
  readonly #orders: { inProj: RowOrder; outProj: RowOrder };
  readonly #tensors = new Map<string, ArrayBufferView>();
  readonly #errors: ModelDescription["errors"] = { layers: [], headDb: 0 };

  constructor(pool: Pool, plain: ReferenceWeights, options: LayerOptions) {
    const { config } = plain;
    const { group, powerOfTwoScales } = options.recipe.weights;
    this.#pool = pool;
    this.#config = config;
    this.#options = options;
    this.#rotated = rotateWeights(plain, options.rotation);
    this.#rules = { bits: 4, group, powerOfTwo: powerOfTwoScales };
    // The HTU does not normalise: its factor is in the weights.
    this.#innerUnit = new HadamardTransform(options.rotation.inner).unit;
    this.#orders = { inProj: inProjOrder(config), outProj: plainOrder(config.dModel) };
  }

  async run(): Promise<RoundedModel> {
    await this.#begin();
    const { nLayers } = this.#config;
    const maxima: Maxima = [];
    for (let i = 0; i < nLayers; i++) {
      this.#progress(i);
      maxima[i] = await this.#layer(i);
    }
    this.#progress(nLayers);
    maxima[nLayers] = { r: Math.max(...(await this.#pool.all("residualMaximum"))) };
    await this.#head();
    const fr = residualFraction(maxima);
    const fractions = this.#layers.map(({ weights, maxima: seen }, i) =>
      chooseFractions(this.#config, weights, seen, i),
    );
    fractions.forEach((f, i) => void this.#keepConstants(i, f, fr));
    this.#keepEmbedding();
    this.#progress(nLayers + 1);
    return {
      rotation: this.#options.rotation,
      residualFraction: fr,
      fractions,
      errors: this.#errors,
      tensors: this.#tensors,
    };
  }

  get #feedsBack(): boolean {
    return this.#options.recipe.weights.method === "gptq";
  }

  #progress(layer: number): void {
    this.#options.progress?.("quantizing", layer, this.#config.nLayers + 1);
  }

  async #begin(): Promise<void> {
    const { ids, length, recipe, rotation } = this.#options;
    const { dModel } = this.#config;
    await this.#pool.all("setup", {
      config: this.#config,
      online: { ...rotation.inner, signs: hadamardSigns(rotation.inner.order) },
      activationBits: recipe.activationBits,
      tokens: length,
      sequences: Math.min(CHUNK_TEXTS, ids.length / length),
    });
    const rows = CHUNK_TEXTS * length;
    const chunks = Array.from({ length: Math.ceil(ids.length / rows) }, (_, index) => {
      const part = ids.subarray(index * rows, (index + 1) * rows);
      const residual = new Float32Array(part.length * dModel);
      part.forEach((id, r) => {
        residual.set(this.#rotated.embedding.subarray(id * dModel, (id + 1) * dModel), r * dModel);
      });
      return { index, residual };
    });
    await this.#pool.deal("begin", chunks, (share) => [share]);
  }

  async #layer(i: number): Promise<Maxima[number]> {
    const { dModel, dInner } = this.#config;
    const weights = shareLayer(this.#rotated.layer(i));
    const r = Math.max(...(await this.#pool.all("residualMaximum")));
    const inFactors = await this.#factors(dModel, () => this.#pool.all("inputs", weights.norm));
    const inProj = await this.#pool.round(weights.inProj, dModel, this.#rules, inFactors);
    const seen = await this.#pool.all("inner", weights, this.#feedsBack ? shareable(inProj.values) : undefined);

    const outWeights = weights.outProj.map((value) => value * this.#innerUnit);
    const outFactors = await this.#factors(dInner, () => this.#pool.all("innerInputs"));
    const outProj = await this.#pool.round(outWeights, dInner, this.#rules, outFactors);
    const values = outProj.values.map((value) => value / this.#innerUnit);
    await this.#pool.all("output", weights, this.#feedsBack ? shareable(values) : undefined);

    this.#errors.layers[i] = {
      inProjDb: signalToNoise(weights.inProj, inProj.values),
      outProjDb: signalToNoise(outWeights, outProj.values),
    };
    this.#keepMatrix(`layers.${i}.in_proj`, inProj.matrix, this.#orders.inProj);
    this.#keepMatrix(`layers.${i}.out_proj`, outProj.matrix, this.#orders.outProj);
    const maxima = { ...maximum(seen), r };
    const light = { ...weights, inProj: new Float32Array(0), outProj: new Float32Array(0) };
    this.#layers[i] = { weights: light, maxima };
    return maxima;
  }

  async #head(): Promise<void> {
    const { dModel, vocabSize } = this.#config;
    const { lmHead, finalNorm } = this.#rotated;
    const factors = await this.#factors(dModel, () => this.#pool.all("inputs", finalNorm));
    const rules = { ...this.#rules, bits: this.#options.recipe.weights.headBits };
    const { matrix, values } = await this.#pool.round(lmHead, dModel, rules, factors);
    this.#errors.headDb = signalToNoise(lmHead, values);
    this.#keepMatrix("lm_head", matrix, plainOrder(vocabSize));
  }

  async #factors(k: number, statistics: () => Promise<GramPart[][]>): Promise<Feedback | undefined> {
    if (!this.#feedsBack) return undefined;
    const gram = new Gram(k).add((await statistics()).flat());
    return this.#pool.factors(gram, k);
  }

  #keepMatrix(name: string, matrix: QuantizedMatrix, order: RowOrder): void {
    const { frames, rowExponents } = pack(matrix, order);
    this.#tensors.set(`${name}.frames`, frames);
    this.#tensors.set(`${name}.row_exponent`, rowExponents);
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

  #keepEmbedding(): void {
    const { vocabSize, dModel } = this.#config;
    const { codes, scale, exponent } = quantizeEmbedding(this.#rotated.embedding, vocabSize, dModel);
    this.#tensors.set("embedding.codes", codes);
    this.#tensors.set("embedding.scale", scale);
    this.#tensors.set("embedding.exponent", exponent);
  }
}

/** The same layer in memory that all threads see. */
function shareLayer(layer: ReferenceLayer): ReferenceLayer {
  return { ...layer, inProj: shareable(layer.inProj), outProj: shareable(layer.outProj) };
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
