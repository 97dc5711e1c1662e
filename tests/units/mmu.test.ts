/** MMU: frames from host/model/frames.ts times codes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mamba2Shape } from "../../host/checkpoint/types.ts";
import { inProjOrder, pack, plainOrder, type QuantizedMatrix, type RowOrder, unpack } from "../../host/model/frames.ts";
import { accumulate, type OracleLinear } from "../oracle/mmu.ts";
import type { Codes } from "../oracle/nqu.ts";
import { Random } from "../oracle/random.ts";
import { BACKENDS } from "./backend.ts";
import { MMU_CASES, type MmuCase } from "./cases.ts";
import { packLinear } from "./linear.ts";
import { assertSame, caseName } from "./support.ts";

const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));

function weights({ K, rows, fill }: MmuCase, random: Random): OracleLinear {
  return {
    q: list(rows, () => list(K, () => fill?.q ?? random.integer(-8, 7))),
    sw: list(rows, () => list(Math.ceil(K / 32), () => fill?.sw ?? random.integer(1, 255))),
    rw: list(rows, () => random.integer(-100, 14)),
  };
}

/** Padded inputs have code 0. */
function codes({ K, bits, fill }: MmuCase, random: Random): Codes {
  const top = bits === 4 ? 15 : 127;
  const padded = Math.ceil(K / 32) * 32;
  const v = list(padded, (i) => (i < K ? (fill?.v ?? random.integer(-top, top)) : 0));
  return { v, sa: list(bits === 4 ? padded / 16 : 0, () => fill?.sa ?? random.integer(1, 255)), e: 0, S: 0n };
}

describe("MMU", () => {
  MMU_CASES.forEach((shape, seed) => {
    test(caseName(shape), () => {
      const random = new Random(seed + 1);
      const linear = weights(shape, random);
      const vector = codes(shape, random);
      const expected = accumulate(linear, vector);
      const packed = packLinear(linear, plainOrder(shape.rows));
      for (const backend of BACKENDS) {
        const acc = backend.multiply(packed, vector);
        assertSame(acc.subarray(0, shape.rows), expected, backend.name);
        // Rows up to a whole block have code 0.
        assert.ok(
          acc.subarray(shape.rows).every((value) => value === 0),
          `${backend.name}: padding`,
        );
      }
    });
  });
});

describe("frames", () => {
  const orders: [name: string, order: RowOrder, inputs: number][] = [
    ...[1, 7, 8, 9, 50257 % 64].map((rows): [string, RowOrder, number] => [`${rows} rows`, plainOrder(rows), 100]),
    ...IN_PROJ_SHAPES().map((s): [string, RowOrder, number] => [`in_proj ${caseName(s)}`, inProjOrder(s), s.dModel]),
  ];
  for (const [name, order, inputs] of orders) {
    test(`unpack undoes pack: ${name}`, () => {
      const rows = order.reduce((most, row) => Math.max(most, row + 1), 0);
      for (const bits of [4, 8] as const) {
        const matrix = randomMatrix(new Random(rows), rows, inputs, bits);
        assert.deepEqual(unpack(pack(matrix, order), order, inputs), matrix);
      }
      assert.equal(order.length % 8, 0);
      assert.deepEqual(
        [...order].filter((row) => row >= 0).sort((a, b) => a - b),
        list(rows, (i) => i),
      );
    });
  }
});

function IN_PROJ_SHAPES(): Mamba2Shape[] {
  return (
    [
      [2, 4, 16, 1, 24],
      [1, 1, 1, 1, 32],
      [7, 3, 5, 1, 33],
      [8, 12, 24, 2, 257],
      [10, 64, 128, 1, 320],
      [16, 9, 5, 8, 40],
    ] as const
  ).map(([nHeads, headDim, dState, nGroups, dModel]) => {
    return {
      dModel,
      nLayers: 1,
      dInner: nHeads * headDim,
      nHeads,
      headDim,
      dState,
      nGroups,
      convWidth: 4,
      vocabSize: 1,
    };
  });
}

function randomMatrix(random: Random, rows: number, inputs: number, bits: 4 | 8): QuantizedMatrix {
  // The high half of an 8-bit code is in -8..7 too.
  const [low, high] = bits === 4 ? [-8, 7] : [-128, 119];
  const padded = Math.ceil(inputs / 32) * 32;
  return {
    rows,
    inputs,
    bits,
    codes: Int8Array.from({ length: rows * padded }, (_, i) => (i % padded < inputs ? random.integer(low, high) : 0)),
    scales: Uint8Array.from({ length: (rows * padded) / 32 }, () => random.integer(1, 255)),
    rowExponents: Int8Array.from({ length: rows }, () => random.integer(-100, 14)),
  };
}
