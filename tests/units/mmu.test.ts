/** MMU: frames from host/model/frames.ts times codes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mamba2Shape } from "../../host/checkpoint/types.ts";
import {
  blockBytes,
  inProjOrder,
  pack,
  plainOrder,
  type QuantizedMatrix,
  type RowOrder,
  scaleInputs,
  unpack,
} from "../../host/model/frames.ts";
import { accumulate } from "../oracle/mmu.ts";
import { Random } from "../oracle/random.ts";
import { BACKENDS } from "./backend.ts";
import { MMU_CASES } from "./cases.ts";
import { linearFrom, packLinear, randomCodes, randomWeights } from "./linear.ts";
import { assertSame, caseName } from "./support.ts";

const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));

describe("MMU", () => {
  MMU_CASES.forEach((shape, seed) => {
    test(caseName(shape), () => {
      const random = new Random(seed + 1);
      const linear = randomWeights(shape, random);
      const vector = randomCodes(shape, random);
      const expected = accumulate(linear, vector);
      const packed = packLinear(linear, plainOrder(shape.rows));
      for (const backend of BACKENDS) {
        const acc = backend.multiply(packed, shape.group, vector);
        assertSame(acc.slice(0, shape.rows), expected, backend.name);
        // Rows up to a whole block have code 0.
        assert.ok(
          acc.slice(shape.rows).every((value) => value === 0),
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
        for (const group of [16, 32, 64, 128] as const) {
          const matrix = randomMatrix(new Random(rows), rows, inputs, bits, group);
          const packed = pack(matrix, order);
          assert.equal(packed.frames.length, (order.length / 8) * (bits / 4) * blockBytes(inputs, group));
          assert.deepEqual(unpack(packed, order, inputs, group), matrix);
          assert.deepEqual(packLinear(linearFrom(matrix), order), packed, "planes of their own");
        }
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

function randomMatrix(
  random: Random,
  rows: number,
  inputs: number,
  bits: 4 | 8,
  group: QuantizedMatrix["group"],
): QuantizedMatrix {
  // The high half of an 8-bit code is in -8..7 too.
  const [low, high] = bits === 4 ? [-8, 7] : [-128, 119];
  const padded = Math.ceil(inputs / 32) * 32;
  return {
    rows,
    inputs,
    bits,
    group,
    codes: Int8Array.from({ length: rows * padded }, (_, i) => (i % padded < inputs ? random.integer(low, high) : 0)),
    scales: Uint8Array.from({ length: (rows * padded) / scaleInputs(group) }, () => random.integer(1, 255)),
    rowExponents: Int8Array.from({ length: rows }, () => random.integer(-100, 14)),
  };
}
