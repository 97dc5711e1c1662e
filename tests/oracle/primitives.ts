/**
 * Section 1 of docs/numerics.md over big integers: nothing overflows here, so a container that is too small elsewhere
 * shows up as a difference. Powers of two are multiplied by and floor-divided by; no machine shift is used.
 */

const POWERS: readonly bigint[] = Array.from({ length: 128 }, (_, s) => 2n ** BigInt(s));

/** 2^s for s >= 0. */
export function pow2(s: number): bigint {
  const known = POWERS[s];
  if (known !== undefined) return known;
  if (!Number.isInteger(s) || s < 0) throw new RangeError(`pow2(${s})`);
  return 2n ** BigInt(s);
}

/** floor(a / b) for b > 0: division of big integers truncates towards zero. */
export function floorDiv(a: bigint, b: bigint): bigint {
  const q = a / b;
  return a % b !== 0n && a < 0n ? q - 1n : q;
}

/** `x >> s` of the page: floor(x / 2^s), s >= 0. */
export function floorShift(x: bigint, s: number): bigint {
  return floorDiv(x, pow2(s));
}

/** Section 1: rounding right shift, ties up; a negative s multiplies. A right shift beyond 62 gives 0. */
export function rsh(x: bigint, s: number): bigint {
  if (s > 62) return 0n;
  if (s > 0) return floorDiv(x + pow2(s - 1), pow2(s));
  return x * pow2(-s);
}

/** Clamp to [low, high]. */
export function clamp(x: bigint, low: bigint, high: bigint): bigint {
  if (x < low) return low;
  return x > high ? high : x;
}

/** Section 1: clamp to the signed range of b bits. */
export function sat(x: bigint, b: number): bigint {
  return clamp(x, -pow2(b - 1), pow2(b - 1) - 1n);
}

/** Section 1: clamp to [-127, 127]. */
export function sat7(x: bigint): bigint {
  return clamp(x, -127n, 127n);
}

/** Section 1: number of bits of x >= 0. */
export function bitlen(x: bigint): number {
  if (x < 0n) throw new RangeError(`bitlen(${x})`);
  let bits = 0;
  for (let rest = x; rest > 0n; rest /= 2n) bits++;
  return bits;
}

export function absolute(x: bigint): bigint {
  return x < 0n ? -x : x;
}

/** The largest |x| of a vector, 0 for an empty one. */
export function maxAbs(values: readonly number[]): number {
  let max = 0;
  for (const value of values) max = Math.max(max, Math.abs(value));
  return max;
}

/** rsh of a number: exact, however far it goes to the left, because the result must be a safe integer. */
export function rshN(x: number, s: number): number {
  return toNumber(rsh(BigInt(x), s));
}

/** rsh for |x| < 2^40 and s <= 40, in plain numbers: every step is exact in a double. */
export function rshSmall(x: number, s: number): number {
  if (s <= 0) return x * 2 ** -s;
  return Math.floor((x + 2 ** (s - 1)) / 2 ** s);
}

/** `x >> s` for |x| < 2^53, in plain numbers. */
export function floorShiftSmall(x: number, s: number): number {
  return Math.floor(x / 2 ** s);
}

export function satN(x: bigint, b: number): number {
  return toNumber(sat(x, b));
}

/** A big integer that must be a safe integer. */
export function toNumber(x: bigint): number {
  const result = Number(x);
  if (!Number.isSafeInteger(result)) throw new RangeError(`${x} is no safe integer`);
  return result;
}
