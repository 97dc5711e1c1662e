/** Matrices and vectors of the cases; a matrix of the oracle as the host's, and back. */
import { BLOCK_ROWS } from "../../assembly/contract.ts";
import {
  blockBytes,
  type PackedMatrix,
  pack,
  paddedInputs,
  type QuantizedMatrix,
  type RowOrder,
  scaleInputs,
} from "../../host/model/frames.ts";
import { type OracleLinear, planes, scalesPerRow } from "../oracle/mmu.ts";
import type { Codes } from "../oracle/nqu.ts";
import type { Random } from "../oracle/random.ts";
import { type MmuCase, TOP_CODE, WEIGHT_RANGE } from "./cases.ts";

const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));

/** A matrix of a case: random, or all at one extreme. */
export function randomWeights({ K, rows, weightBits: bits, group, fill }: MmuCase, random: Random): OracleLinear {
  const [low, high] = WEIGHT_RANGE[bits];
  return {
    bits,
    group,
    q: list(rows, () => list(K, () => fill?.q ?? random.integer(low, high))),
    sw: list(rows, () => list(scalesPerRow(K, group), () => fill?.sw ?? random.integer(1, 255))),
    rw: list(rows, () => random.integer(-100, 14)),
  };
}

/** Its vector. Padded inputs have code 0. */
export function randomCodes({ K, bits, fill }: MmuCase, random: Random): Codes {
  const top = TOP_CODE[bits];
  const padded = Math.ceil(K / 32) * 32;
  const v = list(padded, (i) => (i < K ? (fill?.v ?? random.integer(-top, top)) : 0));
  return { bits, v, sa: list(bits === 8 ? 0 : padded / 16, () => fill?.sa ?? random.integer(1, 255)), e: 0, S: 0n };
}

/** As the host has it; with 8 bits only where no code is below -128. */
export function hostMatrix({ bits, group, q, sw, rw }: OracleLinear): QuantizedMatrix {
  const [rows, inputs] = [q.length, q[0]!.length];
  const padded = paddedInputs(inputs);
  const codes = new Int8Array(rows * padded);
  q.forEach((row, r) => {
    codes.set(row, r * padded);
  });
  const scales = Uint8Array.from(sw.flat());
  return { rows, inputs, bits, group, codes, scales, rowExponents: Int8Array.from(rw) };
}

/** Frames; of 8-bit codes each block of high halves, then the one of low halves. */
export function packLinear(linear: OracleLinear, order: RowOrder): PackedMatrix {
  if (linear.bits === 4) return pack(hostMatrix(linear), order);
  const [hi, lo] = planes(linear).map((q) => pack(hostMatrix({ ...linear, bits: 4, q }), order)) as [
    PackedMatrix,
    PackedMatrix,
  ];
  const bytes = blockBytes(linear.q[0]!.length, linear.group);
  const frames = new Uint8Array(2 * hi.frames.length);
  for (let block = 0; block < order.length / BLOCK_ROWS; block++) {
    const at = block * bytes;
    frames.set(hi.frames.subarray(at, at + bytes), 2 * at);
    frames.set(lo.frames.subarray(at, at + bytes), 2 * at + bytes);
  }
  return { frames, planes: 2, rowExponents: hi.rowExponents };
}

/** Blocks of a matrix of `rows` rows dealt out to lanes: block b goes to lane pattern[b mod n]. Those of each lane, and how many. */
export function deal(
  frames: Uint8Array,
  rows: number,
  pattern: readonly number[],
  lanes: number,
): { blocks: number; bytes: Buffer }[] {
  const count = Math.ceil(rows / BLOCK_ROWS);
  const bytes = frames.length / count;
  return list(lanes, (lane) => {
    const own = list(count, (block) => block).filter((block) => pattern[block % pattern.length] === lane);
    const parts = own.map((block) => frames.subarray(block * bytes, (block + 1) * bytes));
    return { blocks: own.length, bytes: Buffer.concat(parts) };
  });
}

export function linearFrom({ rows, inputs, bits, group, codes, scales, rowExponents }: QuantizedMatrix): OracleLinear {
  const padded = paddedInputs(inputs);
  const per = scaleInputs(group);
  const groups = padded / per;
  const perRow = <T>(f: (row: number) => T) => Array.from({ length: rows }, (_, row) => f(row));
  return {
    bits,
    group: per,
    q: perRow((row) => [...codes.subarray(row * padded, row * padded + inputs)]),
    sw: perRow((row) => [...scales.subarray(row * groups, (row + 1) * groups)]),
    rw: [...rowExponents],
  };
}
