/** Section 3.2 of docs/numerics.md: products of codes and the scale of a row. */
import type { ActivationBits, Codes } from "./nqu.ts";
import { floorDiv, floorShift, pow2, rsh, toNumber } from "./primitives.ts";

/** A linear layer: w = q · sw · 2^rw. */
export interface OracleLinear {
  /** Of a weight: 4, or 8 as two planes of 4. */
  bits: 4 | 8;
  /** Inputs that share a scale. */
  group: 16 | 32;
  /** [R][K], -8..7; with 8 bits -136..119. */
  q: number[][];
  /** [R][K / group, up to whole 32 inputs], 1..255. */
  sw: number[][];
  /** [R], int8. */
  rw: number[];
  /** [R], int32; the fraction bits are those of the result. */
  bias?: number[];
}

/** Scales of a row: the padding up to 32 inputs has its own where groups are of 16. */
export function scalesPerRow(K: number, group: 16 | 32): number {
  return Math.ceil(K / 32) * (32 / group);
}

/** P of section 3.2: bits dropped from products of scales. */
export function scaleBits(bits: ActivationBits): number {
  return { 4: 5, 5: 5, 6: 6, 8: 0 }[bits];
}

/** Σ q · v over `count` inputs from `start`; inputs past the end of the row are padding, whose code is 0. */
function dot(q: readonly number[], v: readonly number[], start: number, count: number): bigint {
  // Below 2^20: plain numbers are exact.
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    if (i < q.length) sum += q[i]! * v[i]!;
    else if (v[i] !== 0) throw new RangeError(`code ${v[i]} in padding`);
  }
  return BigInt(sum);
}

/** A4, A5 and A6: acc of one row of 4-bit weights. */
export function accScaled(q: readonly number[], sw: readonly number[], codes: Codes, group: 16 | 32): bigint {
  const drop = scaleBits(codes.bits);
  let acc = 0n;
  for (let part = 0; part < codes.sa.length; part++) {
    const weightScale = sw[Math.floor((part * 16) / group)]!;
    const scale = floorShift(BigInt(weightScale) * BigInt(codes.sa[part]!) + pow2(drop - 1), drop);
    acc += dot(q, codes.v, part * 16, 16) * scale;
  }
  return acc;
}

/** A8: acc of one row of 4-bit weights. */
export function acc8(q: readonly number[], sw: readonly number[], codes: Codes, group: 16 | 32): bigint {
  let acc = 0n;
  for (let part = 0; part < codes.v.length / group; part++) {
    acc += dot(q, codes.v, part * group, group) * BigInt(sw[part]!);
  }
  return acc;
}

/** q = 16 · hi + lo, both in -8..7. */
export function planesOf(q: number): { hi: number; lo: number } {
  const hi = toNumber(floorDiv(BigInt(q) + 8n, 16n));
  const lo = q - 16 * hi;
  if (hi < -8 || hi > 7) throw new RangeError(`weight ${q} passes 8 bits`);
  return { hi, lo };
}

const knownPlanes = new WeakMap<number[][], number[][][]>();

/** The matrices of 4-bit weights that make one up: itself, or its high and its low halves. */
export function planes({ q, bits }: OracleLinear): number[][][] {
  const known = knownPlanes.get(q);
  if (known) return known;
  for (const code of bits === 4 ? q.flat() : []) {
    if (code < -8 || code > 7) throw new RangeError(`weight ${code} passes 4 bits`);
  }
  const half = (part: "hi" | "lo") => q.map((row) => row.map((code) => planesOf(code)[part]));
  const made = bits === 4 ? [q] : [half("hi"), half("lo")];
  knownPlanes.set(q, made);
  return made;
}

/** acc of one row of 4-bit weights, int32. */
function accOfPlane(q: readonly number[], sw: readonly number[], codes: Codes, group: 16 | 32): bigint {
  const acc = codes.bits === 8 ? acc8(q, sw, codes, group) : accScaled(q, sw, codes, group);
  if (acc > 2n ** 31n - 1n || acc < -(2n ** 31n)) throw new RangeError(`acc ${acc} passes 32 bits`);
  return acc;
}

/** acc of every row: 32 bits, or 37 of two planes. */
export function accumulate(linear: OracleLinear, codes: Codes): number[] {
  const { sw, group } = linear;
  const [high, low] = planes(linear);
  return high!.map((q, row) => {
    const acc = accOfPlane(q, sw[row]!, codes, group);
    return toNumber(low === undefined ? acc : acc * 16n + accOfPlane(low[row]!, sw[row]!, codes, group));
  });
}

/** The row scale. The left shift of a negative s can pass 64 bits; saturation follows at every use. */
export function rowOut(acc: number, m: number, s: number): bigint {
  return rsh(BigInt(acc) * BigInt(m), s);
}
