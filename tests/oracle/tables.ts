/** Sections 2 and 5 of docs/numerics.md: tables from series in 128 fraction bits, and what is read from them. */
import { absolute, bitlen, clamp, floorDiv, floorShift, pow2, rsh, sat, toNumber } from "./primitives.ts";

/** Fraction bits of the series below. The page's tables have 16. */
const FRACTION = 128;
const ONE = pow2(FRACTION);

/** e^x for x >= 0, FRACTION bits: Σ x^n / n!, all terms positive. */
function expFixed(x: bigint): bigint {
  let term = ONE;
  let sum = 0n;
  for (let n = 1n; term > 0n; n++) {
    sum += term;
    term = floorDiv(floorDiv(term * x, ONE), n);
  }
  return sum;
}

/** ln(1 + y) for 0 <= y <= 1: 2 artanh(y / (2 + y)), Σ z^(2n+1) / (2n+1) with z <= 1/3. */
function log1pFixed(y: bigint): bigint {
  const z = floorDiv(y * ONE, 2n * ONE + y);
  let power = z;
  let sum = 0n;
  for (let n = 1n; power > 0n; n += 2n) {
    sum += floorDiv(power, n);
    power = floorDiv(floorDiv(power * z, ONE) * z, ONE);
  }
  return 2n * sum;
}

/** floor(sqrt(x)), by bisection. */
export function integerRoot(x: bigint): bigint {
  let low = 0n;
  let high = x + 1n;
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle * middle <= x) low = middle;
    else high = middle;
  }
  return low;
}

/** round(value · 2^16) of a value in FRACTION bits. */
function entry(value: bigint): number {
  return toNumber(floorDiv(value * pow2(16) + ONE / 2n, ONE));
}

/** `count` entries of f at t = i / denominator, t and f(t) in FRACTION bits. */
function table(count: number, denominator: bigint, f: (t: bigint) => bigint): number[] {
  const entries: number[] = [];
  for (let i = 0; i < count; i++) entries.push(entry(f(floorDiv(BigInt(i) * ONE, denominator))));
  return entries;
}

const LN2 = log1pFixed(ONE);

/** t / (1 + e^t) at i/16. */
export const SILU: readonly number[] = table(257, 16n, (t) => floorDiv(t * ONE, ONE + expFixed(t)));
/** 2^(-i/64). */
export const EXP2: readonly number[] = table(65, 64n, (t) => floorDiv(ONE * ONE, expFixed(floorDiv(t * LN2, ONE))));
/** e^t · log1p(e^-t) at i/4. */
export const LOG1P: readonly number[] = table(65, 4n, (t) => {
  const e = expFixed(t);
  return floorDiv(e * log1pFixed(floorDiv(ONE * ONE, e)), ONE);
});
/** (i/64 + 1)^(-1/2). */
export const RSQRT: readonly number[] = table(193, 64n, (t) => integerRoot(floorDiv(ONE * ONE * ONE, ONE + t)));

/** Section 5. */
function shuffle(seed: bigint): number[] {
  const result: number[] = [];
  for (let i = 0; i < 256; i++) result.push(i);
  let s = seed;
  for (let i = 255; i >= 1; i--) {
    s = (s * 1664525n + 1013904223n) % pow2(32);
    const j = Number(floorDiv(s * BigInt(i + 1), pow2(32)));
    const other = result[j]!;
    result[j] = result[i]!;
    result[i] = other;
  }
  return result;
}

export const DITHER1: readonly number[] = shuffle(12345n);
export const DITHER2: readonly number[] = shuffle(777n);

function at(entries: readonly number[], index: bigint): bigint {
  const value = entries[Number(index)];
  if (value === undefined) throw new RangeError(`index ${index}`);
  return BigInt(value);
}

/** T[i] + rsh((T[i+1] - T[i]) · f, bits). */
function rising(entries: readonly number[], i: bigint, f: bigint, bits: number): bigint {
  const here = at(entries, i);
  return here + rsh((at(entries, i + 1n) - here) * f, bits);
}

/** T[i] - rsh((T[i] - T[i+1]) · f, bits): another rounding of ties than `rising`. */
function falling(entries: readonly number[], i: bigint, f: bigint, bits: number): bigint {
  const here = at(entries, i);
  return here - rsh((here - at(entries, i + 1n)) * f, bits);
}

/** Section 2: silu of u (Q11), in Q fo, 16 bits. */
export function silu(u: bigint, fo: number): number {
  const limit = pow2(20) - 1n;
  const clamped = clamp(u, -limit, limit);
  const a = absolute(clamped);
  const g = a >= pow2(15) ? 0n : rising(SILU, a / 128n, a % 128n, 7);
  const positive = clamped > 0n ? clamped : 0n;
  return toNumber(sat(rsh(positive * 32n - g, 16 - fo), 16));
}

/** Section 2: 2^(-f / 2^24) in Q16, 0 <= f <= 2^24. */
export function exp2n(f: bigint): number {
  if (f < 0n || f > pow2(24)) throw new RangeError(`exp2n(${f})`);
  const i = f / pow2(18);
  const r = f % pow2(18);
  return i === 64n ? 32768 : toNumber(falling(EXP2, i, r, 18));
}

/** Section 2: softplus of v (Q16), in Q24. */
export function softplus(v: bigint): number {
  const limit = pow2(22) - 1n;
  const clamped = clamp(v, -limit, limit);
  const a = absolute(clamped);
  const l = rsh(a * 94548n, 16);
  const n = toNumber(l / pow2(16));
  const p = BigInt(exp2n((l % pow2(16)) * 256n));
  const q = a >= pow2(20) ? 65536n : rising(LOG1P, a / pow2(14), a % pow2(14), 14);
  const positive = clamped > 0n ? clamped : 0n;
  return toNumber(positive * 256n + (n > 40 ? 0n : rsh(p * q, 8 + n)));
}

/** Section 2: 1/sqrt(S) = q · 2^(-23 - j), S >= 1. */
export function rsqrt(S: bigint): { q: number; j: number } {
  if (S < 1n) throw new RangeError(`rsqrt(${S})`);
  const j = Math.floor((bitlen(S) - 15) / 2);
  const m = j >= 0 ? floorShift(S, 2 * j) : S * pow2(-2 * j);
  const q = falling(RSQRT, m / 256n - 64n, m % 256n, 8);
  return { q: toNumber(q), j };
}

/** sqrt(n) = nm · 2^-ne, nm in [2^15, 2^16): what the model carries for D, E or E/G. */
export interface Root {
  nm: number;
  ne: number;
}

/** Section 2: nm = round(sqrt(n) · 2^ne), from an exact integer root of 4 n 4^ne. */
export function rootOf(n: number): Root {
  let ne = 16;
  let nm = pow2(20);
  while (nm >= pow2(16)) {
    ne--;
    if (ne < 0) throw new RangeError(`rootOf(${n})`);
    nm = floorDiv(integerRoot(4n * BigInt(n) * pow2(2 * ne)) + 1n, 2n);
  }
  return { nm: toNumber(nm), ne };
}

/** The factor m · 2^(-7 - j - ne) of a norm. */
export interface NormFactor {
  m: number;
  j: number;
  ne: number;
}

/** Section 2: 1/sqrt(S / n). */
export function norm(S: bigint, root: Root): NormFactor {
  const { q, j } = rsqrt(S > 1n ? S : 1n);
  return { m: toNumber(floorShift(BigInt(root.nm) * BigInt(q), 16)), j, ne: root.ne };
}
