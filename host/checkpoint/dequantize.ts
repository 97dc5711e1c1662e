/**
 * The blocks of ggml, widened to FP32. Every product of a scale and a code fits a double exactly, and so does its sum
 * with a minimum: storing the result rounds once, which is what ggml's FP32 arithmetic gives too.
 */

import { isWeightDtype, widen, widenHalf } from "./dtype.ts";
import type { GgmlType } from "./ggml-types.ts";

/** Writes the elements of the block that starts at byte `at` to `out` from index `to` on. */
type BlockReader = (view: DataView, at: number, out: Float32Array, to: number) => void;

const HALF = 16;
const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function half(view: DataView, at: number): number {
  word[0] = widenHalf(view.getUint16(at, true));
  return float[0]!;
}

/** 32 codes of 4 bits: the low nibbles of the 16 bytes, then the high ones. `fifth` has bit 4 of each code, if any. */
function readNibbles(view: DataView, at: number, fifth: number, put: (index: number, code: number) => void): void {
  for (let i = 0; i < HALF; i++) {
    const byte = view.getUint8(at + i);
    put(i, (byte & 15) | (((fifth >>> i) & 1) << 4));
    put(i + HALF, (byte >> 4) | (((fifth >>> (i + HALF)) & 1) << 4));
  }
}

/** d · (code - offset): Q4_0, Q5_0. */
function symmetric(offset: number, hasFifth: boolean): BlockReader {
  return (view, at, out, to) => {
    const d = half(view, at);
    const fifth = hasFifth ? view.getUint32(at + 2, true) : 0;
    readNibbles(view, at + (hasFifth ? 6 : 2), fifth, (i, code) => {
      out[to + i] = d * (code - offset);
    });
  };
}

/** d · code + m: Q4_1, Q5_1. */
function affine(hasFifth: boolean): BlockReader {
  return (view, at, out, to) => {
    const d = half(view, at);
    const m = half(view, at + 2);
    const fifth = hasFifth ? view.getUint32(at + 4, true) : 0;
    readNibbles(view, at + (hasFifth ? 8 : 4), fifth, (i, code) => {
      out[to + i] = d * code + m;
    });
  };
}

const readQ8: BlockReader = (view, at, out, to) => {
  const d = half(view, at);
  for (let i = 0; i < 32; i++) out[to + i] = d * view.getInt8(at + 2 + i);
};

/** Eight scales and eight minima of 6 bits in 12 bytes: the upper two bits of the last four are kept beside the first. */
function packedScale(view: DataView, at: number, group: number): [scale: number, minimum: number] {
  const byte = (i: number) => view.getUint8(at + i);
  if (group < 4) return [byte(group) & 63, byte(group + 4) & 63];
  const low = byte(group + 4);
  return [(low & 15) | ((byte(group - 4) >> 6) << 4), (low >> 4) | ((byte(group) >> 6) << 4)];
}

/**
 * Q4_K, Q5_K: d, dmin, 12 bytes of scales, for 5 bits 32 bytes of fifth bits, 128 bytes of nibbles. 32 bytes of nibbles
 * hold two groups of 32; bit g of the fifth bits' byte i belongs to element i of group g.
 */
function superBlock(hasFifth: boolean): BlockReader {
  return (view, at, out, to) => {
    const d = half(view, at);
    const dMin = half(view, at + 2);
    const nibbles = at + (hasFifth ? 48 : 16);
    for (let group = 0; group < 8; group++) {
      const [scale, minimum] = packedScale(view, at + 4, group);
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const low = (view.getUint8(nibbles + (group >> 1) * 32 + i) >> shift) & 15;
        const code = hasFifth ? low | (((view.getUint8(at + 16 + i) >> group) & 1) << 4) : low;
        out[to + group * 32 + i] = d * scale * code - dMin * minimum;
      }
    }
  };
}

/**
 * Q6_K: 128 bytes of low nibbles, 64 of upper bit pairs, 16 scales, d. In each half of 128 elements, 64 bytes of nibbles
 * and 32 of pairs hold four quarters of 32; every 16 elements have a scale.
 */
const readQ6K: BlockReader = (view, at, out, to) => {
  const d = half(view, at + 208);
  for (let i = 0; i < 256; i++) {
    const upper = i >> 7;
    const quarter = (i >> 5) & 3;
    const column = i & 31;
    const low = (view.getUint8(at + upper * 64 + (quarter & 1) * 32 + column) >> ((quarter >> 1) * 4)) & 15;
    const high = (view.getUint8(at + 128 + upper * 32 + column) >> (quarter * 2)) & 3;
    const scale = view.getInt8(at + 192 + (i >> 4));
    out[to + i] = d * scale * ((low | (high << 4)) - 32);
  }
};

const READERS: Record<string, BlockReader> = {
  Q4_0: symmetric(8, false),
  Q4_1: affine(false),
  Q5_0: symmetric(16, true),
  Q5_1: affine(true),
  Q8_0: readQ8,
  Q4_K: superBlock(false),
  Q5_K: superBlock(true),
  Q6_K: readQ6K,
};

/** Decodes whole blocks of a type of the table in ggml-types.ts. `bytes` starts on a multiple of the element size. */
export function decode(type: GgmlType, bytes: Uint8Array, out: Float32Array): void {
  if (isWeightDtype(type.name)) {
    widen(type.name, bytes, new Uint32Array(out.buffer, out.byteOffset, out.length));
    return;
  }
  const read = READERS[type.name]!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0, to = 0; at < bytes.length; at += type.bytes, to += type.elements) read(view, at, out, to);
}
