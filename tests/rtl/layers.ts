/** Linear layers at random, and what section 3.2 makes of them. */
import { accumulate, type OracleLinear, rowOut } from "../oracle/mmu.ts";
import type { Codes } from "../oracle/nqu.ts";
import { clamp, pow2, sat } from "../oracle/primitives.ts";
import { Random } from "../oracle/random.ts";
import type { MmuCase } from "../units/cases.ts";
import { randomCodes, randomWeights } from "../units/linear.ts";

/** Of lm_rows, and routes of MULTIPLY. */
export const KINDS = { in_proj: 0, out_proj: 1, lm_head: 2 } as const;

export interface Layer {
  kind: keyof typeof KINDS;
  shape: MmuCase;
  linear: OracleLinear;
  vectors: Codes[];
  factors: { m: number; shift: number }[];
  /** f of each block. */
  fractions: number[];
  /** [vector][row]; rows up to a whole block too. */
  residuals: number[][];
}

export const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));
export const groupsOf = ({ K }: MmuCase): number => Math.ceil(K / 32) * 2;
export const blocksOf = ({ rows }: MmuCase): number => Math.ceil(rows / 8);

/** Shifts that leave most results in range, and some far out of it. */
export function layerOf(kind: Layer["kind"], shape: MmuCase, tokens: number, seed: number): Layer {
  const random = new Random(seed);
  const linear = randomWeights(shape, random);
  linear.rw = linear.rw.map(() => random.integer(-20, -10));
  if (kind !== "lm_head" && seed % 2 === 0) linear.bias = linear.rw.map(() => random.integer(-20000, 20000));
  return {
    kind,
    shape,
    linear,
    vectors: list(tokens, () => randomCodes(shape, random)),
    factors: list(tokens, () => ({ m: random.integer(32768, 65535), shift: random.integer(-4, 14) })),
    fractions: list(blocksOf(shape), () => random.integer(-2, 12)),
    residuals: list(tokens, () => list(8 * blocksOf(shape), () => random.integer(1 - 2 ** 30, 2 ** 30 - 1))),
  };
}

/** Results of a vector. Rows up to a whole block have the sum 0, and the residual stays. */
export function expected(
  { kind, shape, linear, vectors, factors, fractions, residuals }: Layer,
  token: number,
): number[] {
  const { m, shift } = factors[token]!;
  const sums = accumulate(linear, vectors[token]!);
  return list(8 * blocksOf(shape), (row) => {
    const s = shift - (linear.rw[row] ?? 0) - fractions[row >> 3]!;
    const value = rowOut(sums[row] ?? 0, m, s) + BigInt(linear.bias?.[row] ?? 0);
    if (kind !== "out_proj") return Number(sat(value, kind === "in_proj" ? 16 : 32));
    return Number(clamp(value + BigInt(residuals[token]![row]!), 1n - pow2(30), pow2(30) - 1n));
  });
}
