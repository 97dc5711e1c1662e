/** Random models for differential tests: small, deterministic, with signals neither all zero nor all saturated. */
import { hadamardOf, type OracleHadamard } from "./hadamard.ts";
import { type OracleLinear, scalesPerRow } from "./mmu.ts";
import type { EmbeddingTable, OracleLayer, OracleModel, OracleShape, TiedEmbedding } from "./model.ts";
import { type ActivationBits, codeFraction } from "./nqu.ts";
import type { StateBits } from "./ssmu.ts";
import { rootOf } from "./tables.ts";

export interface RandomShape extends OracleShape {
  layers: number;
  activationBits?: ActivationBits;
  /** Inputs that share a scale: 32 unless given. */
  weightGroup?: 16 | 32;
  /** Matrices of 8-bit weights: `lm_head`, `layers.0.in_proj`, … */
  wide?: readonly string[];
  /** 8 unless given. */
  stateBits?: StateBits;
  /** Rows of lm_head are those of the embedding, through the residual's rotation or without one. */
  tied?: "rotated" | "plain";
  /** Layers whose Hadamard is passed by. */
  unrotated?: readonly number[];
  /** 1 unless given. */
  normGroups?: number;
  /** Biases in in_proj and out_proj. */
  projectionBias?: boolean;
  /** Exponents drawn from far wider ranges, so that saturation, flushing to zero and long shifts occur. */
  stress?: boolean;
}

/** Deterministic: a 32-bit xorshift (13, 17, 5). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 2654435761) >>> 0) ^ 0x9e3779b9;
    if (this.#state === 0) this.#state = 1;
    for (let i = 0; i < 8; i++) this.next();
  }

  /** [0, 1). */
  next(): number {
    let s = this.#state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.#state = s;
    return (s >>> 0) / 2 ** 32;
  }

  /** low..high, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  uniform(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** Roughly normal, unit variance: 12 uniform values. No Math.log: its last bit depends on the engine. */
  normal(): number {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.next();
    return sum;
  }

  /** 0, but 0 .. ±reach when stressed. */
  offset(stress: boolean, reach: number): number {
    return stress ? this.integer(-reach, reach) : 0;
  }
}

function list<T>(length: number, f: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => f(i));
}

function clampCode(x: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, Math.round(x)));
}

/** The exponent x with 2^x nearest to a value, by comparison. */
function exponentOf(value: number): number {
  let x = 0;
  while (2 ** (x + 0.5) < value) x++;
  while (2 ** (x - 0.5) > value) x--;
  return x;
}

/** How the weights of a matrix are drawn. */
interface Draw {
  K: number;
  bits: 4 | 8;
  group: 16 | 32;
  stress: boolean;
}

/** A row of weights whose product with inputs of unit size has about the standard deviation `target`. */
function randomRow(random: Random, linear: OracleLinear, { K, bits, group, stress }: Draw, target: number): void {
  const size = bits === 4 ? 3 : 45;
  const [low, high] = bits === 4 ? [-8, 7] : [-128, 119];
  linear.q.push(list(K, () => clampCode(random.normal() * size, low, high)));
  linear.sw.push(list(scalesPerRow(K, group), () => random.integer(stress ? 1 : 90, 255)));
  linear.rw.push(exponentOf(target / (Math.sqrt(K) * size * 170)) + random.offset(stress, 4));
}

function randomLinear(random: Random, targets: readonly number[], draw: Draw): OracleLinear {
  const linear: OracleLinear = { bits: draw.bits, group: draw.group, q: [], sw: [], rw: [] };
  for (const target of targets) randomRow(random, linear, draw, target);
  return linear;
}

function drawOf({ weightGroup: group = 32, stress = false, wide = [] }: RandomShape, name: string, K: number): Draw {
  return { K, bits: wide.includes(name) ? 8 : 4, group, stress };
}

/** am · 2^-ae of a value, am in [2^15, 2^16) where ae allows it. */
function mantissaOf(value: number): { am: number; ae: number } {
  let ae = 0;
  while (ae < 47 && value * 2 ** (ae + 1) < 65535.5) ae++;
  return { am: Math.min(65535, Math.round(value * 2 ** ae)), ae };
}

/** The projection into a layer: rows z, x, B, C, dt. */
function randomInput(random: Random, shape: RandomShape, index: number, f: OracleFractions): OracleLinear {
  const { D, H, P, N, G } = shape;
  const [E, GN] = [H * P, G * N];
  const parts = [
    { length: E, target: 1.5, fraction: f.fz },
    { length: E, target: 1.5, fraction: f.fx },
    { length: GN, target: 1, fraction: f.fB },
    { length: GN, target: 1, fraction: f.fC },
    { length: H, target: 0.7, fraction: f.fdt },
  ];
  const targets = parts.flatMap(({ length, target }) => list(length, () => target));
  const linear = randomLinear(random, targets, drawOf(shape, `layers.${index}.in_proj`, D));
  if (shape.projectionBias === true) {
    linear.bias = parts.flatMap(({ length, fraction }) =>
      list(length, () => Math.round(random.normal() * 0.3 * 2 ** fraction)),
    );
  }
  return linear;
}

type OracleFractions = Pick<
  OracleLayer,
  "fz" | "fx" | "fB" | "fC" | "fdt" | "fw" | "fxs" | "fBs" | "fCs" | "fzs" | "fg" | "fu" | "fD" | "fGamma"
>;

function randomFractions(random: Random, grouped: boolean, stress: boolean): OracleFractions {
  const around = (middle: number): number => middle + random.integer(-1, 1) + random.offset(stress, 2);
  return {
    fz: around(11),
    fx: around(11),
    fB: around(11),
    fC: around(11),
    fdt: around(11),
    fw: around(14) - (stress ? 2 : 1),
    fxs: around(11),
    fBs: around(12),
    fCs: around(12),
    fzs: around(12),
    fg: around(14),
    fu: around(grouped ? 13 : 11),
    fD: around(12),
    fGamma: around(12),
  };
}

/** The recurrence's constants of each head: rates from 1 to 16 and steps from 0.001 to 0.1, as checkpoints begin. */
function randomHeads(
  random: Random,
  H: number,
  fD: number,
  stress: boolean,
): Pick<OracleLayer, "am" | "ae" | "dtBias" | "Dq"> {
  const rates = list(H, () => mantissaOf(random.uniform(1, 16) * Math.LOG2E * 2 ** random.offset(stress, 7)));
  return {
    am: rates.map(({ am }) => am),
    ae: rates.map(({ ae }) => ae),
    dtBias: list(H, () => Math.round(random.uniform(-6.9, -2.2) * 65536) * (stress ? random.integer(-2, 3) : 1)),
    Dq: list(H, () => clampCode(random.uniform(0.3, 1.3) * 2 ** fD, -32768, 32767)),
  };
}

function randomConv(
  random: Random,
  shape: RandomShape,
  f: OracleFractions,
): Pick<OracleLayer, "convWeight" | "convBias"> {
  const { H, P, N, G, W } = shape;
  const fractions = [...list(H * P, () => f.fx), ...list(G * N, () => f.fB), ...list(G * N, () => f.fC)];
  const reach = Math.min(0.7 * 2 ** f.fw, 2 ** 16 / W - 2 ** 10);
  return {
    convWeight: fractions.map(() => list(W, () => Math.round(random.uniform(-reach, reach)))),
    convBias: fractions.map((fraction) =>
      clampCode(random.normal() * 0.2 * 2 ** (fraction + f.fw), -(2 ** 25), 2 ** 25),
    ),
  };
}

function randomLayer(random: Random, shape: RandomShape, index: number, FR: number, eps: number): OracleLayer {
  const { D, H, P, normGroups = 1, unrotated = [] } = shape;
  const stress = shape.stress === true;
  const E = H * P;
  const f = randomFractions(random, normGroups > 1, stress);
  const inProj = randomInput(random, shape, index, f);
  const rotates = !unrotated.includes(index);
  // Where the norm's factor is outside (plain), or has been applied (grouped), the input is of unit size times this.
  const growth = rotates ? Math.sqrt(E / hadamardOf(E).blocks) : 1;
  const targets = list(D, () => 0.4 / growth);
  const outProj = randomLinear(random, targets, drawOf(shape, `layers.${index}.out_proj`, E));
  if (shape.projectionBias === true) outProj.bias = list(D, () => Math.round(random.normal() * 0.1 * 2 ** FR));
  return {
    ...f,
    inProj,
    ...randomConv(random, shape, f),
    ...randomHeads(random, H, f.fD, stress),
    gamma2: list(E, () => clampCode(random.uniform(0.5, 1.5) * 2 ** f.fGamma, -32768, 32767)),
    epsE: BigInt(Math.round((eps * E * 2 ** (2 * f.fg)) / normGroups)),
    outProj,
    rotates,
  };
}

function randomTable(random: Random, { V, D, stress = false }: RandomShape): EmbeddingTable {
  return {
    codes: list(V, () => list(D, () => clampCode(random.normal() * 40, -127, 127))),
    em: list(V, () => random.integer(2 ** 15, 2 ** 16 - 1)),
    ee: list(V, () => -21 + random.offset(stress, 3)),
  };
}

/** γ from 0.6 to 2, of either sign when stressed. */
function randomTied(random: Random, { D, tied, stress = false }: RandomShape): TiedEmbedding {
  const hadamard: OracleHadamard = tied === "rotated" ? hadamardOf(D) : { blocks: D, m: 1, k: 0, signs: [[1]] };
  const unit = hadamard.blocks / D;
  let fraction = 14 + random.offset(stress, 1);
  while (2 ** (fraction + 1) * unit < 2 ** 14) fraction++;
  const inverse = () =>
    Math.round((2 ** fraction * unit) / random.uniform(0.6, 2)) * (stress ? random.integer(-1, 1) : 1);
  return { hadamard, fraction, inverseGamma: list(D, () => clampCode(inverse(), -32768, 32767)) };
}

/** A model of a shape; the same seed gives the same model in every engine. */
export function randomModel(seed: number, shape: RandomShape): OracleModel {
  const random = new Random(seed);
  const { D, H, P, N, G, W, V, activationBits = 4, stateBits = 8, normGroups = 1, stress = false } = shape;
  const eps = 1e-5;
  const FR = 14 + random.integer(-2, stress ? 2 : 1);
  const F = codeFraction(activationBits);
  return {
    shape: { D, H, P, N, G, W, V },
    activationBits,
    stateBits,
    FR,
    normGroups,
    dtLow: stress ? random.integer(0, 2 ** 14) : 0,
    dtHigh: stress ? 2 ** random.integer(18, 30) : 2 ** 30,
    epsD: BigInt(Math.round(eps * D * 2 ** (2 * (FR + F)))),
    rootD: rootOf(D),
    rootE: rootOf((H * P) / normGroups),
    hadamard: hadamardOf(H * P),
    embedding: shape.tied ? randomTied(random, shape) : randomTable(random, shape),
    layers: list(shape.layers, (index) => randomLayer(random, shape, index, FR, eps)),
    lmHead: randomLinear(
      random,
      // Out of the head, a row of the embedding is of unit size.
      list(V, () => (shape.tied ? Math.sqrt(D) : 2)),
      drawOf(shape, "lm_head", D),
    ),
  };
}
