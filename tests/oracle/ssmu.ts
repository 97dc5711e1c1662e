/** Sections 3.3 and 3.5 of docs/numerics.md: convolution, recurrence and gate. */
import {
  absolute,
  bitlen,
  clamp,
  floorShift,
  floorShiftSmall,
  maxAbs,
  pow2,
  rsh,
  rshN,
  rshSmall,
  sat,
  satN,
  toNumber,
} from "./primitives.ts";
import { DITHER1, DITHER2, exp2n, type NormFactor, norm, type Root, silu, softplus } from "./tables.ts";

/**
 * Conv of one channel: taps are the W - 1 older inputs, oldest first; they move on. Result Q fo.
 * fraction = f_seg; the sum is Q (f_seg + fw).
 */
export function conv(
  taps: number[],
  input: number,
  channel: { weight: readonly number[]; bias: number; fw: number; fraction: number; fo: number },
): number {
  const { weight, bias, fw, fraction, fo } = channel;
  taps.push(input);
  if (taps.length !== weight.length) throw new RangeError("taps and weights differ in number");
  let v = BigInt(bias);
  for (let i = 0; i < weight.length; i++) v += BigInt(taps[i]!) * BigInt(weight[i]!);
  if (v !== sat(v, 32)) throw new RangeError(`conv sum ${v} passes 32 bits`);
  taps.shift();
  // With f_seg + fw < 11 this is a left shift, whose result passes 32 bits: exact here, silu clamps it.
  return silu(rsh(v, fraction + fw - 11), fo);
}

/** The smallest s >= 0 with rsh(max, s) <= 127. */
function shiftTo7(max: number): number {
  let s = 0;
  while (rshN(max, s) > 127) s++;
  return s;
}

export interface Exponented {
  codes: number[];
  exponent: number;
}

/** B or C of a group to int8: codes and eB = s - fBs. */
export function quantizeBC(values: readonly number[], fraction: number): Exponented {
  const s = shiftTo7(maxAbs(values));
  return { codes: values.map((value) => rshN(value, s)), exponent: s - fraction };
}

/** dt of a head, Q24. */
export function timeStep(raw: number, fdt: number, dtBias: number, low: number, high: number): number {
  // raw · 2^(16 - f_dt) + dt_bias can pass 32 bits: exact here, softplus clamps it.
  const v = rsh(BigInt(raw), fdt - 16) + BigInt(dtBias);
  return toNumber(clamp(BigInt(softplus(v)), BigInt(low), BigInt(high)));
}

/** Lazy decay of a head: the new F, the whole bits k, c = 2^-F (Q16) and ci = 2^F (Q15). */
export function decay(F: number, dt: number, am: number, ae: number): { F: number; k: number; c: number; ci: number } {
  const product = rsh(BigInt(dt) * BigInt(am), ae);
  const L = product < pow2(31) - 1n ? product : pow2(31) - 1n;
  const sum = BigInt(F) + L;
  const next = sum % pow2(24);
  return { F: toNumber(next), k: toNumber(sum / pow2(24)), c: exp2n(next), ci: exp2n(pow2(24) - next) };
}

/** dt · x of a head to int8 with one exponent. */
export function dtTimesX(dt: number, ci: number, x: readonly number[], fxs: number): Exponented {
  const w = BigInt(dt) * BigInt(ci);
  const s = Math.max(0, bitlen(w) - 16);
  const m = floorShift(w, s);
  const p = x.map((value) => toNumber(m * BigInt(value)));
  const s2 = shiftTo7(maxAbs(p));
  return { codes: p.map((value) => rshN(value, s2)), exponent: s - 39 + s2 - fxs };
}

/** The eight bits of b in reverse order. */
export function bitrev8(b: number): number {
  let result = 0;
  let rest = b;
  for (let i = 0; i < 8; i++) {
    result = result * 2 + (rest % 2);
    rest = Math.floor(rest / 2);
  }
  return result;
}

/** d1 and d2 of token t, state column n and channel ch. */
export function dither(t: number, n: number, ch: number): { d1: number; d2: number } {
  const i = (t + 11 * n + 57 * ch) % 256;
  const d1 = DITHER1[i]!;
  const d2 = DITHER2[i]! ^ bitrev8(Math.floor(t / 256) % 256);
  return { d1, d2 };
}

/** 16 codes of a channel and their exponent. */
export interface StateGroup {
  h: number[];
  eh: number;
}

/** What a token brings to 16 state values. */
export interface Update {
  k: number;
  q: number;
  ex: number;
  /** 16 codes of B. */
  Bq: readonly number[];
  eB: number;
  t: number;
  /** The first n of the group. */
  n0: number;
  ch: number;
}

/** b of one state value: q · Bq aligned to 2^ew, with dither d2. */
function alignB(product: number, shift: number, d2: number): number {
  let b = product;
  let s = shift;
  if (s > 8) {
    b = rshSmall(b, Math.min(s - 8, 15));
    s = 8;
  }
  return floorShiftSmall(b + floorShiftSmall(d2, 8 - s), s);
}

export type StateBits = 8 | 16;

/** State update of one group. */
export function updateGroup(group: StateGroup, update: Update, bits: StateBits): StateGroup {
  return bits === 8 ? updateGroup8(group, update) : updateGroup16(group, update);
}

/** o of section 3.5: d1 in the place of half of 2^r. */
function dither16(d1: number, r: number): number {
  return r <= 8 ? floorShiftSmall(d1, 8 - r) : d1 * 2 ** (r - 8) + 2 ** (r - 9);
}

/** Section 3.5: int32. rshSmall beyond 40 gives 0 for these values, as it does at 40. */
export function updateGroup16(group: StateGroup, update: Update): StateGroup {
  const { k, q, ex, Bq, eB, t, n0, ch } = update;
  const flushed = group.eh - k < -64;
  const ehNow = flushed ? -64 : group.eh - k;
  const ea = ehNow - 8;
  const eb = ex + eB - 9;
  const ew = Math.max(ea, eb);
  const acc = group.h.map((code, i) => {
    const a = rshSmall((flushed ? 0 : code) * 2 ** 8, Math.min(ew - ea, 40));
    const b = rshSmall(q * Bq[i]! * 2 ** 9, Math.min(ew - eb, 40));
    if (Math.abs(a + b) >= 2 ** 24) throw new RangeError(`acc ${a + b}`);
    return a + b;
  });
  const M = maxAbs(acc);
  let r = 0;
  while (M > 32767 * 2 ** r) r++;
  const eh = ew + r;
  if (M === 0 || eh < -64) return { h: acc.map(() => 0), eh: -64 };
  const h = acc.map((value, i) => floorShiftSmall(value + dither16(dither(t, n0 + i, ch).d1, r), r));
  return { h, eh: Math.min(eh, 63) };
}

/** 8-bit codes. Every value is below 2^17, so plain numbers are exact. */
export function updateGroup8(group: StateGroup, update: Update): StateGroup {
  const { k, q, ex, Bq, eB, t, n0, ch } = update;
  const flushed = group.eh - k < -64;
  const ehNow = flushed ? -64 : group.eh - k;
  const ea = ehNow - 7;
  const eb = ex + eB;
  const ew = Math.max(ea, eb);
  const acc: number[] = [];
  const d1: number[] = [];
  for (let i = 0; i < 16; i++) {
    const h = flushed ? 0 : group.h[i]!;
    const d = dither(t, n0 + i, ch);
    const a = rshSmall(h * 128, Math.min(ew - ea, 15));
    acc.push(a + alignB(q * Bq[i]!, ew - eb, d.d2));
    d1.push(d.d1);
  }
  const M = maxAbs(acc);
  let r = 0;
  while (M > 127 * 2 ** r) r++;
  const eh = ew + r;
  if (M === 0 || eh < -64) return { h: acc.map(() => 0), eh: -64 };
  const h = acc.map((value, i) => floorShiftSmall(value + floorShiftSmall(d1[i]!, 8 - r), r));
  return { h, eh: Math.min(eh, 63) };
}

/** Readout: Y of a channel over the groups of its state, Q12. */
export function readout(groups: readonly StateGroup[], Cq: readonly number[], eC: number): number {
  let Y = 0n;
  groups.forEach(({ h, eh }, index) => {
    let part = 0n;
    for (let i = 0; i < 16; i++) part += BigInt(h[i]! * Cq[index * 16 + i]!);
    const term = rsh(part, Math.max(-(eh + eC + 12), -24));
    Y += clamp(term, 1n - pow2(26), pow2(26) - 1n);
  });
  if (Y !== sat(Y, 32)) throw new RangeError(`readout ${Y} passes 32 bits`);
  return toNumber(Y);
}

/** y of a channel, Q12. */
export function output(Y: number, c: number, skip: { Dq: number; x: number; fD: number; fxs: number }): number {
  const { Dq, x, fD, fxs } = skip;
  return satN(rsh(BigInt(Y) * BigInt(c), 16) + rsh(BigInt(Dq) * BigInt(x), fD + fxs - 12), 32);
}

export interface GateFractions {
  fz: number;
  fzs: number;
  fg: number;
  fu: number;
  fGamma: number;
}

/** g of a channel, Q fg, 24 bits. */
export function gated(y: number, z: number, f: GateFractions): number {
  const zs = silu(rsh(BigInt(z), f.fz - 11), f.fzs);
  return satN(rsh(BigInt(y) * BigInt(zs), 12 + f.fzs - f.fg), 24);
}

/** Σ g². */
export function sumOfSquares(g: readonly number[]): bigint {
  let S = 0n;
  for (const value of g) S += absolute(BigInt(value)) ** 2n;
  return S;
}

/** u of the plain norm, Q fu: the factor stays with the row scale of out_proj. */
export function gammaPlain(g: readonly number[], gamma2: readonly number[], f: GateFractions): number[] {
  return g.map((value, i) => satN(rsh(BigInt(value) * BigInt(gamma2[i]!), f.fg + f.fGamma - f.fu), 18));
}

/** ĝ of one group of the grouped norm, Q16. */
export function normalizeGroup(g: readonly number[], eps: bigint, root: Root): number[] {
  const factor: NormFactor = norm(sumOfSquares(g) + eps, root);
  const shift = 7 + factor.j + factor.ne - 16;
  return g.map((value) => satN(rsh(BigInt(value) * BigInt(factor.m), shift), 24));
}

/** u of the grouped norm, Q fu: `groups` consecutive parts of equal size, each with its own factor. */
export function gammaGrouped(
  g: readonly number[],
  gamma2: readonly number[],
  grouped: { groups: number; eps: bigint; root: Root },
  f: GateFractions,
): number[] {
  const size = g.length / grouped.groups;
  const u: number[] = [];
  for (let start = 0; start < g.length; start += size) {
    const normalized = normalizeGroup(g.slice(start, start + size), grouped.eps, grouped.root);
    for (let i = 0; i < size; i++) {
      const product = BigInt(normalized[i]!) * BigInt(gamma2[start + i]!);
      u.push(satN(rsh(product, 16 + f.fGamma - f.fu), 18));
    }
  }
  return u;
}
