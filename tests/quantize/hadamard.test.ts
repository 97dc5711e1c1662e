import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type HadamardShape,
  HadamardTransform,
  hadamardShape,
  hadamardSigns,
  identityShape,
} from "../../host/model/hadamard.ts";
import { noise, relativeError } from "../reference/support.ts";

describe("the shape of a size", () => {
  const FULL: [size: number, order: number, log2: number][] = [
    [1, 1, 0],
    [2, 1, 1],
    [1024, 1, 10],
    [2048, 1, 11],
    [8192, 1, 13],
    [12, 12, 0],
    [48, 12, 2],
    [192, 12, 4],
    [768, 12, 6],
    [1536, 12, 7],
    [320, 20, 4],
    [640, 20, 5],
    [1280, 20, 6],
    [2560, 20, 7],
    [5120, 20, 8],
    [7168, 28, 8],
    [1152, 36, 5],
    [44, 44, 0],
    [60, 60, 0],
    [84, 84, 0],
    // 52 is of neither construction: the matrix takes one more factor of two
    [104, 104, 0],
    [208, 104, 1],
  ];
  for (const [size, order, log2] of FULL) {
    it(`${size} = ${order} · 2^${log2}`, () => assert.deepEqual(hadamardShape(size), { blocks: 1, order, log2 }));
  }

  const BLOCKS: [size: number, blocks: number, order: number, log2: number, why: string][] = [
    [45, 45, 1, 0, "odd"],
    [50, 25, 1, 1, "twice an odd number"],
    [100, 5, 20, 0, "none of order 100, 50 or 25"],
    [92, 23, 1, 2, "the first order that Paley's constructions miss"],
    [184, 23, 1, 3, "nor have they twice that"],
    [156, 13, 12, 0, "none of order 156"],
    [268, 67, 1, 2, "an order above 256"],
  ];
  for (const [size, blocks, order, log2, why] of BLOCKS) {
    it(`${size} falls back to ${blocks} blocks of ${order} · 2^${log2}: ${why}`, () =>
      assert.deepEqual(hadamardShape(size), { blocks, order, log2 }));
  }

  it("is always a product that makes the size", () => {
    for (let size = 1; size <= 2048; size++) {
      const { blocks, order, log2 } = hadamardShape(size);
      assert.equal(blocks * order * 2 ** log2, size);
    }
  });
});

describe("a matrix", () => {
  /** Every order that some size gets. */
  const orders = new Set(Array.from({ length: 256 }, (_, i) => hadamardShape(i + 1).order));

  it("exists for 12, 20, 28, 36, 44, 60, 68, 76 and 84, not for 52", () => {
    assert.deepEqual(
      [...orders].filter((order) => order < 100).sort((a, b) => a - b),
      [...[1, 12, 20, 28, 36, 44, 60, 68, 76, 84]],
    );
  });

  it("has entries ±1 and orthogonal rows, at every order", () => {
    for (const order of orders) {
      const signs = hadamardSigns(order);
      assert.equal(signs.length, order * order);
      assert.ok(signs.every((sign) => sign === 1 || sign === -1));
      for (let a = 0; a < order; a++) {
        for (let b = 0; b <= a; b++) assert.equal(dot(signs, order, a, b), a === b ? order : 0, `${order}: ${a}, ${b}`);
      }
    }
  });

  for (const order of [0, 3, 10, 52, 92]) {
    it(`of order ${order} is refused`, () => assert.throws(() => hadamardSigns(order), /no Hadamard matrix/));
  }
});

function dot(signs: Int8Array, order: number, a: number, b: number): number {
  let sum = 0;
  for (let i = 0; i < order; i++) sum += signs[a * order + i]! * signs[b * order + i]!;
  return sum;
}

/** (I ⊗ H_m ⊗ H_2^k) x, an entry at a time, as docs/numerics.md section 3.4 writes it. */
function byDefinition({ blocks, order, log2 }: HadamardShape, x: ArrayLike<number>, transposed = false): number[] {
  const signs = hadamardSigns(order);
  const [twos, block] = [2 ** log2, order * 2 ** log2];
  return Array.from({ length: blocks * block }, (_, out) => {
    let sum = 0;
    for (let i = 0; i < block; i++) {
      const [row, column] = transposed ? [i, out % block] : [out % block, i];
      const sign = signs[Math.floor(row / twos) * order + Math.floor(column / twos)]!;
      const parity = popcount((row % twos) & (column % twos)) % 2;
      sum += (parity === 1 ? -sign : sign) * x[Math.floor(out / block) * block + i]!;
    }
    return sum;
  });
}

function popcount(n: number): number {
  return n === 0 ? 0 : (n & 1) + popcount(n >> 1);
}

describe("a transform", () => {
  for (const size of [1, 2, 8, 12, 20, 40, 45, 50, 96, 100, 104, 112, 144, 192, 320, 640]) {
    const shape = hadamardShape(size);
    const x = Float64Array.from(noise(size, size));

    it(`of ${size} values is the matrix product, forwards and transposed`, () => {
      const transform = new HadamardTransform(shape);
      const [forwards, transposed] = [x.slice(), x.slice()];
      transform.apply(forwards);
      transform.applyTransposed(transposed);
      assert.ok(relativeError(forwards, byDefinition(shape, x)) < 1e-12);
      assert.ok(relativeError(transposed, byDefinition(shape, x, true)) < 1e-12);
    });

    it(`of ${size} values is undone by its transpose, and keeps the length`, () => {
      const transform = new HadamardTransform(shape);
      const y = x.slice();
      transform.apply(y);
      for (let i = 0; i < size; i++) y[i]! *= transform.unit;
      assert.ok(Math.abs(length(y) / length(x) - 1) < 1e-12);
      transform.applyTransposed(y);
      for (let i = 0; i < size; i++) y[i]! *= transform.unit;
      assert.ok(relativeError(y, x) < 1e-12);
    });
  }

  it("of the identity's shape changes nothing", () => {
    const transform = new HadamardTransform(identityShape(7));
    const x = Float64Array.from(noise(7, 1));
    const y = x.slice();
    transform.apply(y);
    assert.deepEqual(y, x);
    assert.equal(transform.unit, 1);
  });
});

function length(x: Float64Array): number {
  return Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));
}
