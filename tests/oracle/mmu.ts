/** Section 3.2 of docs/numerics.md: products of codes and the scale of a row. */
import type { Codes } from "./nqu.ts";
import { floorDiv, rsh, toNumber } from "./primitives.ts";

/** A linear layer: w = q · sw · 2^rw. */
export interface OracleLinear {
  /** [R][K], -8..7. */
  q: number[][];
  /** [R][ceil(K / 32)], 1..255. */
  sw: number[][];
  /** [R], int8. */
  rw: number[];
  /** [R], int32; the fraction bits are those of the result. */
  bias?: number[];
}

/** Σ q · v over `count` inputs from `start`; inputs past the end of the row are padding, whose code is 0. */
function dot(q: readonly number[], v: readonly number[], start: number, count: number): bigint {
  let sum = 0n;
  for (let i = start; i < start + count; i++) {
    if (i < q.length) sum += BigInt(q[i]!) * BigInt(v[i]!);
    else if (v[i] !== 0) throw new RangeError(`code ${v[i]} in padding`);
  }
  return sum;
}

/** A4: acc of one row. */
export function acc4(q: readonly number[], sw: readonly number[], codes: Codes): bigint {
  let acc = 0n;
  for (let group = 0; group < codes.sa.length; group++) {
    const scale = floorDiv(BigInt(sw[Math.floor(group / 2)]!) * BigInt(codes.sa[group]!) + 16n, 32n);
    acc += dot(q, codes.v, group * 16, 16) * scale;
  }
  return acc;
}

/** A8: acc of one row. */
export function acc8(q: readonly number[], sw: readonly number[], codes: Codes): bigint {
  let acc = 0n;
  for (let group = 0; group < codes.v.length / 32; group++) {
    acc += dot(q, codes.v, group * 32, 32) * BigInt(sw[group]!);
  }
  return acc;
}

/** acc of every row; A4 where the codes have scales. */
export function accumulate(linear: OracleLinear, codes: Codes): number[] {
  return linear.q.map((q, row) => {
    const sw = linear.sw[row]!;
    const acc = toNumber(codes.sa.length > 0 ? acc4(q, sw, codes) : acc8(q, sw, codes));
    if (acc > 2 ** 31 - 1 || acc < -(2 ** 31)) throw new RangeError(`acc ${acc} passes 32 bits`);
    return acc;
  });
}

/** The row scale. The left shift of a negative s can pass 64 bits; saturation follows at every use. */
export function rowOut(acc: number, m: number, s: number): bigint {
  return rsh(BigInt(acc) * BigInt(m), s);
}
