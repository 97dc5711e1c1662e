/** Section 3.1 of docs/numerics.md: codes of a vector. */
import { clamp, floorDiv, floorShift, maxAbs, pow2, rsh, sat7, toNumber } from "./primitives.ts";

export interface Codes {
  /** K codes, padded to a multiple of 32. */
  v: number[];
  /** A4: a scale per 16 codes. A8: empty. */
  sa: number[];
  e: number;
  S: bigint;
}

export type ActivationBits = 4 | 8;

/** F of section 3.1. */
export function codeFraction(bits: ActivationBits): number {
  return bits === 4 ? 5 : 8;
}

/** The vector with zeros up to a multiple of 32. */
export function padded(a: readonly number[]): number[] {
  const result = [...a];
  while (result.length % 32 !== 0) result.push(0);
  return result;
}

/** min(0, min values). */
function minimum(values: readonly bigint[]): bigint {
  let low = 0n;
  for (const value of values) if (value < low) low = value;
  return low;
}

/** max(0, max values). */
function maximum(values: readonly bigint[]): bigint {
  let high = 0n;
  for (const value of values) if (value > high) high = value;
  return high;
}

/** A4, one group of 16 at vector exponent e: codes, scale and Σ x². */
function codesOfGroup(group: readonly bigint[], e: number): { v: number[]; sa: number; S: bigint } {
  const R = maximum(group) - minimum(group);
  // R + 2^e - 1 can pass 2^31: unsigned 32 bits or wider in an implementation.
  const t = floorShift(R + pow2(e) - 1n, e);
  const quotient = floorDiv(t + 14n, 15n);
  const sa = quotient > 1n ? quotient : 1n;
  const x = group.map((value) => rsh(value, e - 5));
  const inv = floorDiv(65536n + floorDiv(sa, 2n), sa);
  const z = clamp(floorDiv(-minimum(x) * inv + pow2(20), pow2(21)), 0n, 15n);
  const v: number[] = [];
  let S = 0n;
  for (const value of x) {
    const u = clamp(floorDiv(value * inv + pow2(20), pow2(21)) + z, 0n, 15n);
    v.push(toNumber(u - z));
    S += value * value;
  }
  return { v, sa: toNumber(sa), S };
}

/** Section 3.1, A4. */
export function nqu4(a: readonly number[]): Codes {
  const values = padded(a).map((value) => BigInt(value));
  const groups: bigint[][] = [];
  for (let i = 0; i < values.length; i += 16) groups.push(values.slice(i, i + 16));
  let max = 0n;
  for (const group of groups) {
    const R = maximum(group) - minimum(group);
    if (R > max) max = R;
  }
  let e = 0;
  while (max > 3825n * pow2(e)) e++;
  const result: Codes = { v: [], sa: [], e, S: 0n };
  for (const group of groups) {
    const { v, sa, S } = codesOfGroup(group, e);
    result.v.push(...v);
    result.sa.push(sa);
    result.S += S;
  }
  return result;
}

/** Section 3.1, A8. */
export function nqu8(a: readonly number[]): Codes {
  const values = padded(a).map((value) => BigInt(value));
  const max = BigInt(maxAbs(a));
  let e = 0;
  while (rsh(max, e) > 127n) e++;
  const v: number[] = [];
  let S = 0n;
  for (const value of values) {
    v.push(toNumber(sat7(rsh(value, e))));
    const x = rsh(value, e - 8);
    S += x * x;
  }
  return { v, sa: [], e, S };
}

export function nqu(a: readonly number[], bits: ActivationBits): Codes {
  return bits === 4 ? nqu4(a) : nqu8(a);
}
