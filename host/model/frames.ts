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

/** R rows of Kp inputs, Kp = K padded to whole groups; padding has code 0. */
export interface QuantizedMatrix {
  rows: number;
  inputs: number;
  /** 4, or 8: q = 16 · hi + lo, stored as two 4-bit planes. */
  bits: 4 | 8;
  /** i8 [R, Kp]. */
  codes: Int8Array;
  /** u8 [R, Kp / 32]. */
  scales: Uint8Array;
  /** i8 [R]. */
  rowExponents: Int8Array;
}

/** Row exponents the loader accepts. */
export const ROW_EXPONENT_RANGE: [low: number, high: number] = [-100, 14];

/** Source row of each stored row; -1 is padding. */
export type RowOrder = Int32Array;

const PADDING = -1;
const FRAME_GROUPS = FRAME_INPUTS / WEIGHT_GROUP;
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

/** Bytes of a block of 8 rows. */
export function blockBytes(inputs: number): number {
  const padded = paddedInputs(inputs);
  return Math.ceil(padded / FRAME_INPUTS) * FRAME_SCALE_BYTES + (padded / WEIGHT_GROUP) * GROUP_CODE_BYTES;
}

export function pack(matrix: QuantizedMatrix, order: RowOrder): PackedMatrix {
  const bytes = blockBytes(matrix.inputs);
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
  const groups = padded / WEIGHT_GROUP;
  for (let g = 0; g < groups; g++) {
    const at = groupOffsets(g);
    block[at.scale + row] = source === PADDING ? 1 : matrix.scales[source * groups + g]!;
    for (let i = 0; i < WEIGHT_GROUP; i += 4) {
      // 16-byte vector of 4 inputs: low nibbles of bytes 2·row, 2·row + 1 are inputs 0 and 1, high ones 2 and 3
      const byte = at.codes + i * 4 + 2 * row;
      if (source === PADDING) block.fill(ZERO_CODES, byte, byte + 2);
      else packFour(block, byte, codes, source * padded + g * WEIGHT_GROUP + i);
    }
  }
}

function packFour(block: Uint8Array, byte: number, codes: Int8Array, k: number): void {
  block[byte] = (codes[k]! + 8) | ((codes[k + 2]! + 8) << 4);
  block[byte + 1] = (codes[k + 1]! + 8) | ((codes[k + 3]! + 8) << 4);
}

/** Where weight group g of a block keeps its 8 scales and its 128 bytes of codes. */
function groupOffsets(g: number): { scale: number; codes: number } {
  const frame = Math.floor(g / FRAME_GROUPS);
  const start = frame * (FRAME_SCALE_BYTES + FRAME_GROUPS * GROUP_CODE_BYTES);
  const inFrame = g % FRAME_GROUPS;
  return {
    scale: start + inFrame * BLOCK_ROWS,
    codes: start + FRAME_SCALE_BYTES + inFrame * GROUP_CODE_BYTES,
  };
}

/** The inverse of pack: for inspection, simulation and tests. */
export function unpack(packed: PackedMatrix, order: RowOrder, inputs: number): QuantizedMatrix {
  const { planes } = packed;
  const rows = order.reduce((most, source) => Math.max(most, source + 1), 0);
  const padded = paddedInputs(inputs);
  const groups = padded / WEIGHT_GROUP;
  const out: QuantizedMatrix = {
    rows,
    inputs,
    bits: planes === 2 ? 8 : 4,
    codes: new Int8Array(rows * padded),
    scales: new Uint8Array(rows * groups),
    rowExponents: new Int8Array(rows),
  };
  const bytes = blockBytes(inputs);
  order.forEach((source, stored) => {
    if (source === PADDING) return;
    out.rowExponents[source] = packed.rowExponents[stored]!;
    const block = packed.frames.subarray(Math.floor(stored / BLOCK_ROWS) * planes * bytes);
    const row = stored % BLOCK_ROWS;
    for (let g = 0; g < groups; g++) out.scales[source * groups + g] = block[groupOffsets(g).scale + row]!;
    for (let k = 0; k < padded; k++) {
      const high = codeAt(block, row, k);
      out.codes[source * padded + k] = planes === 2 ? 16 * high + codeAt(block.subarray(bytes), row, k) : high;
    }
  });
  return out;
}

function codeAt(block: Uint8Array, row: number, k: number): number {
  const i = k % WEIGHT_GROUP;
  const byte = block[groupOffsets(Math.floor(k / WEIGHT_GROUP)).codes + (i >> 2) * 16 + 2 * row + (i & 1)]!;
  return ((i & 2) === 0 ? byte & 15 : byte >> 4) - 8;
}

/** The weights the codes stand for, f32 [R, K]. */
export function dequantize(m: QuantizedMatrix): Float32Array {
  const padded = paddedInputs(m.inputs);
  const groups = padded / WEIGHT_GROUP;
  const w = new Float32Array(m.rows * m.inputs);
  for (let r = 0; r < m.rows; r++) {
    const unit = 2 ** m.rowExponents[r]!;
    for (let k = 0; k < m.inputs; k++) {
      const scale = m.scales[r * groups + Math.floor(k / WEIGHT_GROUP)]! * unit;
      w[r * m.inputs + k] = m.codes[r * padded + k]! * scale;
    }
  }
  return w;
}
