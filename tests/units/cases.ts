/** The table of cases: which operation on which shapes. Every backend runs all of it, and the bound is 0. */
import { type HadamardShape, hadamardOrder, paleyKind } from "../oracle/hadamard.ts";
import { TOKEN_PERIOD } from "../oracle/model.ts";
import type { ActivationBits } from "../oracle/nqu.ts";
import type { StateBits } from "../oracle/ssmu.ts";

/** K inputs, `rows` rows; all codes and scales at one extreme where `fill` is given, else random. */
export interface MmuCase {
  K: number;
  rows: number;
  bits: ActivationBits;
  /** Of a weight. */
  weightBits: 4 | 8;
  /** Inputs that share a weight's scale. */
  group: 16 | 32;
  fill?: { q: number; v: number; sw: number; sa: number };
}

const BITS: readonly ActivationBits[] = [4, 5, 6, 8];
/** Largest code of an activation. */
export const TOP_CODE: Record<ActivationBits, number> = { 4: 15, 5: 15, 6: 31, 8: 127 };
/** Of a weight: both halves of 8 bits are in -8..7. */
export const WEIGHT_RANGE = { 4: [-8, 7], 8: [-136, 119] } as const;

type MmuFormat = Pick<MmuCase, "bits" | "weightBits" | "group">;
const MMU_FORMATS: readonly MmuFormat[] = BITS.flatMap((bits) =>
  ([4, 8] as const).flatMap((weightBits) => ([16, 32] as const).map((group) => ({ bits, weightBits, group }))),
);

/** One frame has 256 inputs: whole, partial, several and a partial one behind whole ones. */
const MMU_SHAPES: readonly [K: number, rows: number][] = [
  [32, 1],
  [32, 8],
  [64, 9],
  [96, 3],
  [224, 16],
  [256, 8],
  [288, 5],
  [320, 24],
  [512, 8],
  [544, 17],
  [1000, 8],
  [2560, 8],
  [5120, 3],
  [8160, 2],
  [8192, 9],
  [1, 1],
  [33, 2],
  [255, 7],
  [257, 8],
];

function mmuExtremes(): MmuCase[] {
  const cases: MmuCase[] = [];
  for (const K of [32, 416, 8192]) {
    for (const format of MMU_FORMATS) {
      const top = TOP_CODE[format.bits];
      for (const q of WEIGHT_RANGE[format.weightBits]) {
        for (const v of [-top, top]) {
          for (const [sw, sa] of [
            [255, 255],
            [1, 255],
            [255, 1],
            [1, 1],
          ] as const) {
            cases.push({ K, rows: 2, ...format, fill: { q, v, sw, sa } });
          }
        }
      }
    }
  }
  return cases;
}

export const MMU_CASES: readonly MmuCase[] = [
  ...MMU_SHAPES.flatMap(([K, rows]) => MMU_FORMATS.map((format) => ({ K, rows, ...format }))),
  ...mmuExtremes(),
];

/** A vector of K values by one of the patterns of nqu.test.ts. */
export interface NquCase {
  K: number;
  pattern: NquPattern;
  bits: ActivationBits;
}

export type NquPattern =
  | "zero"
  | "one value"
  | "minus one"
  | "edges"
  | "wide"
  | "positive"
  | "negative"
  | "one-sided groups"
  | "ties"
  | "sparse"
  | "every exponent"
  | "outlier";

const NQU_PATTERNS: readonly NquPattern[] = [
  "zero",
  "one value",
  "minus one",
  "edges",
  "wide",
  "positive",
  "negative",
  "one-sided groups",
  "ties",
  "sparse",
  "every exponent",
  "outlier",
];

const LONG_PATTERNS: readonly NquPattern[] = ["edges", "wide", "negative", "outlier"];

export const NQU_CASES: readonly NquCase[] = [1, 15, 16, 17, 31, 32, 48, 100, 320, 1023, 8192].flatMap((K) =>
  // Most of the rest does not depend on a vector's length.
  NQU_PATTERNS.filter((pattern) => K < 400 || LONG_PATTERNS.includes(pattern)).flatMap((pattern) =>
    BITS.map((bits) => ({ K, pattern, bits })),
  ),
);

/** Orders that a size can ask for: 12, 20, 28, … */
export const HADAMARD_ORDERS: readonly number[] = Array.from({ length: 63 }, (_, i) => 4 * (i + 2)).filter(
  (m) => paleyKind(m) !== undefined && hadamardOrder(m) === m,
);

function htuCases(): HadamardShape[] {
  const cases: HadamardShape[] = [];
  for (let k = 0; k <= 13; k++) cases.push({ blocks: 1, m: 1, k });
  for (const m of HADAMARD_ORDERS) {
    for (let k = 0; k <= 8 && m * 2 ** k <= 8192; k++) if (m <= 44 || k <= 2) cases.push({ blocks: 1, m, k });
  }
  // Blocks, and E of them of one value: the vector passes by.
  cases.push(
    { blocks: 3, m: 1, k: 2 },
    { blocks: 5, m: 1, k: 0 },
    { blocks: 7, m: 12, k: 1 },
    { blocks: 23, m: 1, k: 4 },
  );
  cases.push({ blocks: 2, m: 20, k: 0 }, { blocks: 8192, m: 1, k: 0 }, { blocks: 96, m: 1, k: 0 });
  return cases;
}

export const HTU_CASES: readonly HadamardShape[] = htuCases();

/** A layer of H heads of P channels, N states, G groups, conv of W taps, and how many tokens in a row it consumes. */
export interface SsmuCase {
  H: number;
  P: number;
  N: number;
  G: number;
  W: number;
  tokens: number;
  /** Of the gated norm: 1, or G. */
  normGroups: number;
  /** calm: as in a model; stress: exponents far off; wild: any constant the loader accepts, states of any exponent. */
  kind: "calm" | "stress" | "wild";
  /** t of the first token. */
  from?: number;
}

/** t goes from 3 · 2^30 - 1 to 0: one dither, and one ring of taps, go on. */
export const LAST_TOKENS = TOKEN_PERIOD - 10;
export const STATE_BITS: readonly StateBits[] = [8, 16];

export const SSMU_CASES: readonly SsmuCase[] = [
  { H: 2, P: 4, N: 16, G: 1, W: 4, tokens: 600, normGroups: 1, kind: "calm" },
  { H: 2, P: 3, N: 24, G: 2, W: 3, tokens: 520, normGroups: 2, kind: "stress" },
  { H: 2, P: 5, N: 5, G: 1, W: 2, tokens: 300, normGroups: 1, kind: "stress" },
  { H: 4, P: 8, N: 32, G: 2, W: 4, tokens: 40, normGroups: 1, kind: "calm" },
  { H: 8, P: 8, N: 16, G: 8, W: 4, tokens: 40, normGroups: 8, kind: "calm" },
  { H: 8, P: 1, N: 64, G: 8, W: 3, tokens: 40, normGroups: 8, kind: "stress" },
  { H: 1, P: 1, N: 1, G: 1, W: 2, tokens: 300, normGroups: 1, kind: "calm" },
  { H: 1, P: 128, N: 128, G: 1, W: 4, tokens: 12, normGroups: 1, kind: "calm" },
  { H: 2, P: 64, N: 256, G: 1, W: 4, tokens: 6, normGroups: 1, kind: "stress" },
  { H: 1, P: 16, N: 512, G: 1, W: 4, tokens: 20, normGroups: 1, kind: "calm" },
  { H: 2, P: 7, N: 500, G: 2, W: 3, tokens: 12, normGroups: 2, kind: "stress" },
  { H: 10, P: 8, N: 16, G: 1, W: 4, tokens: 150, normGroups: 1, kind: "wild" },
  { H: 10, P: 3, N: 24, G: 2, W: 3, tokens: 150, normGroups: 2, kind: "wild" },
  { H: 16, P: 2, N: 5, G: 8, W: 2, tokens: 150, normGroups: 8, kind: "wild" },
  { H: 10, P: 1, N: 512, G: 1, W: 4, tokens: 60, normGroups: 1, kind: "wild" },
  { H: 12, P: 9, N: 40, G: 2, W: 4, tokens: 60, normGroups: 2, kind: "wild" },
  { H: 10, P: 8, N: 128, G: 2, W: 4, tokens: 60, normGroups: 1, kind: "wild" },
  { H: 2, P: 4, N: 16, G: 1, W: 4, tokens: 20, normGroups: 1, kind: "calm", from: 2 ** 31 - 10 },
  { H: 2, P: 4, N: 16, G: 1, W: 2, tokens: 20, normGroups: 1, kind: "calm", from: LAST_TOKENS },
  { H: 2, P: 4, N: 16, G: 1, W: 3, tokens: 20, normGroups: 1, kind: "calm", from: LAST_TOKENS },
  { H: 2, P: 4, N: 16, G: 1, W: 4, tokens: 20, normGroups: 1, kind: "stress", from: LAST_TOKENS },
  { H: 2, P: 4, N: 256, G: 1, W: 4, tokens: 20, normGroups: 1, kind: "stress", from: LAST_TOKENS },
];

/** Shapes as published models have them, heads of whole vectors and states of whole blocks: what the host's kernels take. */
export const WIDE_SSMU_CASES: readonly SsmuCase[] = [
  { H: 4, P: 16, N: 128, G: 2, W: 4, tokens: 100, normGroups: 1, kind: "wild" },
  { H: 4, P: 16, N: 128, G: 2, W: 3, tokens: 100, normGroups: 2, kind: "wild" },
  { H: 2, P: 64, N: 128, G: 1, W: 4, tokens: 20, normGroups: 1, kind: "calm" },
  { H: 4, P: 32, N: 256, G: 4, W: 2, tokens: 10, normGroups: 4, kind: "stress" },
  { H: 2, P: 16, N: 128, G: 1, W: 4, tokens: 20, normGroups: 1, kind: "stress", from: LAST_TOKENS },
];
