/**
 * Codes to frames and back: the order in which the WebAssembly kernel and the accelerator's lanes stream weights
 * (docs/format.md). A block is 8 rows; a frame is 64 bytes of scales and up to 8 groups of 128 bytes of codes.
 */
import {
  BLOCK_ROWS,
  FRAME_INPUTS,
  FRAME_SCALE_BYTES,
  GROUP_CODE_BYTES,
  ROW_SKEW,
  WEIGHT_GROUP,
} from "../../assembly/contract.ts";
import type { Mamba2Shape } from "../checkpoint/types.ts";
import type { WeightRecipe } from "./description.ts";

/** R rows of Kp inputs, Kp = K padded to whole groups; padding has code 0. */
export interface QuantizedMatrix {
  rows: number;
  inputs: number;
  /** 4, or 8: q = 16 · hi + lo, stored as two 4-bit planes. */
  bits: 4 | 8;
  /** i8 [R, Kp]. */
  codes: Int8Array;
  group: WeightRecipe["group"];
  /** u8 [R, Kp / scaleInputs(group)]. */
  scales: Uint8Array;
  /** i8 [R]. */
  rowExponents: Int8Array;
}

/** Row exponents the loader accepts. */
export const ROW_EXPONENT_RANGE: [low: number, high: number] = [-100, 14];

/** Source row of each stored row; -1 is padding. */
export type RowOrder = Int32Array;

const PADDING = -1;
/** Two codes of 0. */
const ZERO_CODES = 0x88;

export interface PackedMatrix {
  /** u8 [R / 8, planes · block bytes]: of an 8-bit matrix each block of high halves, then of low ones. */
  frames: Uint8Array;
  /** 1, or 2 for 8-bit codes. */
  planes: 1 | 2;
  /** i8 [R]. */
  rowExponents: Int8Array;
}

/** Inputs as stored: whole weight groups. */
export function paddedInputs(inputs: number): number {
  return Math.ceil(inputs / WEIGHT_GROUP) * WEIGHT_GROUP;
}

/** Rows as they are, padded to whole blocks. */
export function plainOrder(rows: number): RowOrder {
  return Int32Array.from([...segment(0, rows)]);
}

/**
 * in_proj's rows z | x | B | C | dt as they are streamed: B, C and dt first, so that the SSM unit can start on head 0
 * while x and z of head 1 are still being computed; z of a head ROW_SKEW heads after its x (the paper's reordering).
 */
export function inProjOrder({ dInner, nHeads, headDim, dState, nGroups }: Mamba2Shape): RowOrder {
  const n = nGroups * dState;
  const order = [...segment(2 * dInner, n), ...segment(2 * dInner + n, n), ...segment(2 * dInner + 2 * n, nHeads)];
  for (let h = 0; h < nHeads + ROW_SKEW; h++) {
    if (h < nHeads) order.push(...segment(dInner + h * headDim, headDim));
    if (h >= ROW_SKEW) order.push(...segment((h - ROW_SKEW) * headDim, headDim));
  }
  return Int32Array.from(order);
}

/** Rows first..first+count-1, filled up to a whole block. */
function segment(first: number, count: number): number[] {
  const stored = Math.ceil(count / BLOCK_ROWS) * BLOCK_ROWS;
  return Array.from({ length: stored }, (_, i) => (i < count ? first + i : PADDING));
}

/** Scales are stored once per this many inputs. */
export function scaleInputs(group: WeightRecipe["group"]): 16 | 32 {
  return group === 16 ? 16 : WEIGHT_GROUP;
}

/** Bytes of a block of 8 rows. */
export function blockBytes(inputs: number, group: WeightRecipe["group"]): number {
  const padded = paddedInputs(inputs);
  const scales = FRAME_SCALE_BYTES * (WEIGHT_GROUP / scaleInputs(group));
  return Math.ceil(padded / FRAME_INPUTS) * scales + (padded / WEIGHT_GROUP) * GROUP_CODE_BYTES;
}

export function pack(matrix: QuantizedMatrix, order: RowOrder): PackedMatrix {
  const bytes = blockBytes(matrix.inputs, matrix.group);
  const planes = matrix.bits === 8 ? 2 : 1;
  const frames = new Uint8Array((order.length / BLOCK_ROWS) * bytes * planes);
  const rowExponents = new Int8Array(order.length);
  const codes = matrix.bits === 8 ? splitPlanes(matrix.codes) : [matrix.codes];
  order.forEach((source, stored) => {
    if (source !== PADDING) rowExponents[stored] = matrix.rowExponents[source]!;
    codes.forEach((plane, i) => {
      const block = frames.subarray((Math.floor(stored / BLOCK_ROWS) * planes + i) * bytes);
      packRow(block, stored % BLOCK_ROWS, matrix, plane, source);
    });
  });
  return { frames, planes, rowExponents };
}

/** q = 16 · hi + lo, both in -8..7. */
function splitPlanes(codes: Int8Array): [hi: Int8Array, lo: Int8Array] {
  const hi = codes.map((q) => (q + 8) >> 4);
  return [hi, codes.map((q, i) => q - 16 * hi[i]!)];
}

function packRow(block: Uint8Array, row: number, matrix: QuantizedMatrix, codes: Int8Array, source: number): void {
  const padded = paddedInputs(matrix.inputs);
  const per = scaleInputs(matrix.group);
  for (let k = 0; k < padded; k += per) {
    block[scaleOffset(k, per) + row] = source === PADDING ? 1 : matrix.scales[(source * padded + k) / per]!;
  }
  for (let k = 0; k < padded; k += 4) {
    // 16-byte vector of 4 inputs: low nibbles of bytes 2·row, 2·row + 1 are inputs 0 and 1, high ones 2 and 3
    const byte = codeOffset(k, per) + 2 * row;
    if (source === PADDING) block.fill(ZERO_CODES, byte, byte + 2);
    else packFour(block, byte, codes, source * padded + k);
  }
}

function packFour(block: Uint8Array, byte: number, codes: Int8Array, k: number): void {
  block[byte] = (codes[k]! + 8) | ((codes[k + 2]! + 8) << 4);
  block[byte + 1] = (codes[k + 1]! + 8) | ((codes[k + 3]! + 8) << 4);
}

/** Gives every weight group of a matrix's frames the same scale. */
export function fillScales(frames: Uint8Array, inputs: number, group: WeightRecipe["group"], scale: number): void {
  const bytes = blockBytes(inputs, group);
  const per = scaleInputs(group);
  const scales = FRAME_SCALE_BYTES * (WEIGHT_GROUP / per);
  for (let block = 0; block < frames.length; block += bytes) {
    for (let k = 0; k < paddedInputs(inputs); k += FRAME_INPUTS) {
      const begin = block + frameOffset(k, per);
      frames.fill(scale, begin, begin + scales);
    }
  }
}

/** Where the frame of input k starts in its block. */
function frameOffset(k: number, per: 16 | 32): number {
  const bytes = FRAME_SCALE_BYTES * (WEIGHT_GROUP / per) + (FRAME_INPUTS / WEIGHT_GROUP) * GROUP_CODE_BYTES;
  return Math.floor(k / FRAME_INPUTS) * bytes;
}

/** Where the 8 scales of input k are. */
function scaleOffset(k: number, per: 16 | 32): number {
  return frameOffset(k, per) + Math.floor((k % FRAME_INPUTS) / per) * BLOCK_ROWS;
}

/** Where the 16 bytes of input k and its three neighbours are. */
function codeOffset(k: number, per: 16 | 32): number {
  const scales = FRAME_SCALE_BYTES * (WEIGHT_GROUP / per);
  return frameOffset(k, per) + scales + Math.floor((k % FRAME_INPUTS) / 4) * 2 * BLOCK_ROWS;
}

/** The inverse of pack: for inspection, simulation and tests. */
export function unpack(
  packed: PackedMatrix,
  order: RowOrder,
  inputs: number,
  group: WeightRecipe["group"],
): QuantizedMatrix {
  const { planes } = packed;
  const per = scaleInputs(group);
  const rows = order.reduce((most, source) => Math.max(most, source + 1), 0);
  const padded = paddedInputs(inputs);
  const out: QuantizedMatrix = {
    rows,
    inputs,
    bits: planes === 2 ? 8 : 4,
    group,
    codes: new Int8Array(rows * padded),
    scales: new Uint8Array((rows * padded) / per),
    rowExponents: new Int8Array(rows),
  };
  const bytes = blockBytes(inputs, group);
  order.forEach((source, stored) => {
    if (source === PADDING) return;
    out.rowExponents[source] = packed.rowExponents[stored]!;
    const block = packed.frames.subarray(Math.floor(stored / BLOCK_ROWS) * planes * bytes);
    const row = stored % BLOCK_ROWS;
    for (let k = 0; k < padded; k += per) out.scales[(source * padded + k) / per] = block[scaleOffset(k, per) + row]!;
    for (let k = 0; k < padded; k++) {
      const high = codeAt(block, row, k, per);
      out.codes[source * padded + k] = planes === 2 ? 16 * high + codeAt(block.subarray(bytes), row, k, per) : high;
    }
  });
  return out;
}

function codeAt(block: Uint8Array, row: number, k: number, per: 16 | 32): number {
  const byte = block[codeOffset(k, per) + 2 * row + (k & 1)]!;
  return ((k & 2) === 0 ? byte & 15 : byte >> 4) - 8;
}

/** The weights the codes stand for, f32 [R, K]. */
export function dequantize(m: QuantizedMatrix): Float32Array {
  const padded = paddedInputs(m.inputs);
  const per = scaleInputs(m.group);
  const w = new Float32Array(m.rows * m.inputs);
  for (let r = 0; r < m.rows; r++) {
    const unit = 2 ** m.rowExponents[r]!;
    for (let k = 0; k < m.inputs; k++) {
      const scale = m.scales[Math.floor((r * padded + k) / per)]! * unit;
      w[r * m.inputs + k] = m.codes[r * padded + k]! * scale;
    }
  }
  return w;
}
