/**
 * The blocks of ggml read by their definitions, one bit field at a time: independent of host/checkpoint/dequantize.ts
 * in layout (a list of bits for each element) and in arithmetic (rounded to FP32 after every step).
 */

/** binary16 by its fields. */
export function halfValue(bits: number): number {
  const [sign, exponent, mantissa] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

let halves: Map<number, number> | undefined;

/** The binary16 that has exactly this value. A map takes 0 and -0 for the same. */
export function halfBits(value: number): number {
  halves ??= new Map(Array.from({ length: 0x7c00 }, (_, bits) => [halfValue(bits), bits]));
  const bits = halves.get(Math.abs(value));
  if (bits === undefined) throw new RangeError(`${value} is no binary16`);
  return bits | (value < 0 || Object.is(value, -0) ? 0x8000 : 0);
}

/** Bits of a field, the lowest first: [byte, bit]. */
type Field = [byte: number, bit: number][];

const nibble = (byte: number, high: boolean): Field => [0, 1, 2, 3].map((bit) => [byte, bit + (high ? 4 : 0)]);
const gather = (block: Uint8Array, field: Field) =>
  field.reduce((sum, [byte, bit], i) => sum + (((block[byte]! >> bit) & 1) << i), 0);
const half = (block: Uint8Array, at: number) => halfValue(block[at]! + 256 * block[at + 1]!);
const signed = (byte: number) => (byte > 127 ? byte - 256 : byte);
const f = Math.fround;

/** Code of element i of a block of 32 with 4 or 5 bits. */
function code32(block: Uint8Array, i: number, nibbles: number, fifths?: number): number {
  const field = nibble(nibbles + (i % 16), i >= 16);
  if (fifths !== undefined) field.push([fifths + (i >> 3), i & 7]);
  return gather(block, field);
}

/** Six bits of scale or minimum of group g, as ggml-common.h describes the 12 bytes. */
function sixBits(block: Uint8Array, g: number, minimum: boolean): number {
  if (g < 4)
    return gather(
      block,
      [0, 1, 2, 3, 4, 5].map((bit) => [4 + g + (minimum ? 4 : 0), bit]),
    );
  const top = 4 + g - 4 + (minimum ? 4 : 0);
  return gather(block, [...nibble(4 + g + 4, minimum), [top, 6], [top, 7]]);
}

function elementK(block: Uint8Array, i: number, five: boolean): number {
  const g = i >> 5;
  const field = nibble((five ? 48 : 16) + (i >> 6) * 32 + (i & 31), g % 2 === 1);
  if (five) field.push([16 + (i & 31), g]);
  const scale = f(half(block, 0) * sixBits(block, g, false));
  const minimum = f(half(block, 2) * sixBits(block, g, true));
  return f(f(scale * gather(block, field)) - minimum);
}

function elementQ6(block: Uint8Array, i: number): number {
  const [upper, rest] = [i >> 7, i & 127];
  const field = nibble(upper * 64 + (rest & 63), rest >= 64);
  const pair = 128 + upper * 32 + (rest & 31);
  field.push([pair, 2 * (rest >> 5)], [pair, 2 * (rest >> 5) + 1]);
  return f(f(half(block, 208) * signed(block[192 + (i >> 4)]!)) * (gather(block, field) - 32));
}

const ELEMENTS: Record<string, [bytes: number, elements: number, element: (block: Uint8Array, i: number) => number]> = {
  Q4_0: [18, 32, (block, i) => f((code32(block, i, 2) - 8) * half(block, 0))],
  Q4_1: [20, 32, (block, i) => f(f(code32(block, i, 4) * half(block, 0)) + half(block, 2))],
  Q5_0: [22, 32, (block, i) => f((code32(block, i, 6, 2) - 16) * half(block, 0))],
  Q5_1: [24, 32, (block, i) => f(f(code32(block, i, 8, 4) * half(block, 0)) + half(block, 2))],
  Q8_0: [34, 32, (block, i) => f(signed(block[2 + i]!) * half(block, 0))],
  Q4_K: [144, 256, (block, i) => elementK(block, i, false)],
  Q5_K: [176, 256, (block, i) => elementK(block, i, true)],
  Q6_K: [210, 256, elementQ6],
};

export function dequantizeSlowly(type: string, data: Uint8Array): Float32Array {
  const [bytes, elements, element] = ELEMENTS[type]!;
  const out = new Float32Array((data.length / bytes) * elements);
  for (let i = 0; i < out.length; i++) {
    const at = Math.floor(i / elements) * bytes;
    out[i] = element(data.subarray(at, at + bytes), i % elements);
  }
  return out;
}
