/** Section 3.1 of docs/numerics.md: codes of a vector. */
import { absolute, clamp, floorDiv, floorShift, maxAbs, pow2, rsh, sat7, toNumber } from "./primitives.ts";

export interface Codes {
  bits: ActivationBits;
  /** K codes, padded to a multiple of 32. */
  v: number[];
  /** A scale per 16 codes. A8: empty. */
  sa: number[];
  e: number;
  S: bigint;
}

export type ActivationBits = 4 | 5 | 6 | 8;

/** F of section 3.1. */
export function codeFraction(bits: ActivationBits): number {
  return bits === 8 ? 8 : 5;
}

/** Lv of section 3.1: the largest code of A5 and A6. */
const LEVELS = { 5: 15, 6: 31 } as const;

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

/** sa of a group of range or magnitude R, and its rounded reciprocal. */
function scaleOf(R: bigint, e: number, levels: bigint): { sa: bigint; inv: bigint } {
  // R + 2^e - 1 can pass 2^31: unsigned 32 bits or wider in an implementation.
  const t = floorShift(R + pow2(e) - 1n, e);
  const quotient = floorDiv(t + levels - 1n, levels);
  const sa = quotient > 1n ? quotient : 1n;
  return { sa, inv: floorDiv(65536n + floorDiv(sa, 2n), sa) };
}

/** A4, one group of 16 at vector exponent e: codes, scale and Σ x². */
function codesOfGroup(group: readonly bigint[], e: number): { v: number[]; sa: number; S: bigint } {
  const R = maximum(group) - minimum(group);
  const { sa, inv } = scaleOf(R, e, 15n);
  const x = group.map((value) => rsh(value, e - 5));
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

/** The padded vector in groups of 16 or 32. */
function grouped(a: readonly number[], size: 16 | 32): bigint[][] {
  const values = padded(a).map((value) => BigInt(value));
  const groups: bigint[][] = [];
  for (let i = 0; i < values.length; i += size) groups.push(values.slice(i, i + size));
  return groups;
}

/** Section 3.1, A4. */
export function nqu4(a: readonly number[]): Codes {
  const groups = grouped(a, 16);
  let max = 0n;
  for (const group of groups) {
    const R = maximum(group) - minimum(group);
    if (R > max) max = R;
  }
  let e = 0;
  while (max > 3825n * pow2(e)) e++;
  const result: Codes = { bits: 4, v: [], sa: [], e, S: 0n };
  for (const group of groups) {
    const { v, sa, S } = codesOfGroup(group, e);
    result.v.push(...v);
    result.sa.push(sa);
    result.S += S;
  }
  return result;
}

/** Section 3.1, A5 and A6. */
export function nquSymmetric(a: readonly number[], bits: 5 | 6): Codes {
  const levels = BigInt(LEVELS[bits]);
  const max = BigInt(maxAbs(a));
  let e = 0;
  while (max > 255n * levels * pow2(e)) e++;
  const result: Codes = { bits, v: [], sa: [], e, S: 0n };
  for (const group of grouped(a, 32)) {
    const R = maximum(group.map(absolute));
    const { sa, inv } = scaleOf(R, e, levels);
    for (const value of group) {
      const x = rsh(value, e - 5);
      result.v.push(toNumber(clamp(floorDiv(x * inv + pow2(20), pow2(21)), -levels, levels)));
      result.S += x * x;
    }
    // Both halves of a group carry its scale.
    result.sa.push(toNumber(sa), toNumber(sa));
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
  return { bits: 8, v, sa: [], e, S };
}

export function nqu(a: readonly number[], bits: ActivationBits): Codes {
  if (bits === 4) return nqu4(a);
  return bits === 8 ? nqu8(a) : nquSymmetric(a, bits);
}
