/** A rotation changes the basis and not the function. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import { fullRotation, noRotation, ResidualRotation, rotateWeights } from "../../host/quantize/rotate.ts";
import { Reference, type ReferenceWeights, weightsFromCheckpoint } from "../../host/reference/index.ts";
import { noise, relativeError } from "../reference/support.ts";
import { GOLDEN, goldenIds, NO_FULL_HADAMARD, randomCheckpoint, TINY } from "./support.ts";

const EXACT = 1e-5;

function logitsOf(weights: ReferenceWeights, ids: Int32Array): Float32Array {
  return new Reference(weights, { sequences: 1 }).forward(ids).logits!;
}

describe("rotated weights compute the logits of the plain ones", () => {
  const CASES: [name: string, dir: string, ids: () => Int32Array][] = [
    ["models/tiny", TINY, () => goldenIds("tiny/expected.safetensors")],
    ["odd-a: two groups, biases", join(GOLDEN, "odd-a"), () => goldenIds("odd-a/expected.safetensors")],
    ["odd-b: a head of its own", join(GOLDEN, "odd-b"), () => goldenIds("odd-b/expected.safetensors")],
    ["odd-f-original: padded", join(GOLDEN, "odd-f-original"), () => goldenIds("odd-f-original/expected.safetensors")],
    [
      "sizes without a full Hadamard",
      randomCheckpoint(NO_FULL_HADAMARD),
      () => Int32Array.from({ length: 24 }, (_, i) => (i * 17) % 61),
    ],
  ];

  for (const [name, dir, idsOf] of CASES) {
    it(name, () => {
      const plain = weightsFromCheckpoint(openCheckpoint(dir));
      const { dModel, dInner } = plain.config;
      const ids = idsOf();
      const expected = logitsOf(plain, ids);
      for (const rotation of [
        fullRotation(dModel, dInner, 0),
        fullRotation(dModel, dInner, 0xffff_ffff),
        noRotation(dModel, dInner),
      ]) {
        const error = relativeError(logitsOf(rotateWeights(plain, rotation), ids), expected);
        assert.ok(error <= EXACT, `${JSON.stringify(rotation)}: off by ${error}`);
      }
    });
  }

  it("leaving the plain weights as they were", () => {
    const plain = weightsFromCheckpoint(openCheckpoint(join(GOLDEN, "odd-b")));
    const before = [plain.embedding.slice(), plain.lmHead.slice(), plain.finalNorm.slice()];
    rotateWeights(plain, fullRotation(plain.config.dModel, plain.config.dInner, 1)).layer(0);
    assert.deepEqual([plain.embedding, plain.lmHead, plain.finalNorm], before);
  });

  it("without a norm weight left: they are folded", () => {
    const plain = weightsFromCheckpoint(openCheckpoint(join(GOLDEN, "odd-b")));
    const rotated = rotateWeights(plain, noRotation(plain.config.dModel, plain.config.dInner));
    assert.ok([...rotated.finalNorm, ...rotated.layer(0).norm].every((value) => value === 1));
    assert.deepEqual(rotated.layer(0).gateNorm, plain.layer(0).gateNorm);
  });
});

describe("γ2 before a rotated out_proj", () => {
  const plain = weightsFromCheckpoint(openCheckpoint(join(GOLDEN, "odd-b")));
  const { dModel, dInner } = plain.config;
  const rotation = fullRotation(dModel, dInner, 0);
  /** γ2 of a channel times `factor`, and its column of out_proj times 1 / factor · `mismatch`. */
  const scaled = (factor: number, mismatch = 1): ReferenceWeights => ({
    ...plain,
    layer(index) {
      const layer = plain.layer(index);
      const [gateNorm, outProj] = [layer.gateNorm.slice(), layer.outProj.slice()];
      gateNorm[3]! *= factor;
      for (let at = 3; at < outProj.length; at += dInner) outProj[at]! *= mismatch / factor;
      return { ...layer, gateNorm, outProj };
    },
  });
  const gamma = (weights: ReferenceWeights, how = rotation) => rotateWeights(weights, how).layer(0).gateNorm;
  const ratio = (weights: ReferenceWeights, how = rotation) => gamma(weights, how)[3]! / gamma(plain, how)[3]!;

  for (const factor of [1e4, -1e4, 1e-4]) {
    it(`loses an outlier of ${factor} that out_proj makes up for`, () => {
      const left = Math.abs(ratio(scaled(factor)));
      assert.ok(left > 1 / 4 && left < 4, `${left}`);
    });
  }

  it("keeps the other channels", () => {
    const [found, expected] = [gamma(scaled(1e4)), gamma(plain)];
    found.forEach((value, c) => {
      if (c !== 3) assert.equal(value, expected[c]);
    });
  });

  it("keeps an outlier that out_proj does not make up for: folded, it would be one of the weights", () => {
    assert.ok(Math.abs(ratio(scaled(1e4, 1e4)) / 1e4 - 1) < 1e-5);
  });

  it("keeps everything without a rotation", () => {
    assert.ok(Math.abs(ratio(scaled(1e4), noRotation(dModel, dInner)) / 1e4 - 1) < 1e-5);
  });

  it("stays finite where a column of out_proj is zero", () => {
    const { gateNorm, outProj } = rotateWeights(scaled(1e4, 0), rotation).layer(0);
    assert.ok([...gateNorm, ...outProj].every(Number.isFinite));
  });
});

describe("the rotation of the residual stream", () => {
  for (const size of [1, 7, 48, 50, 64, 320]) {
    it(`of ${size}: undo gives every row back`, () => {
      const rotation = new ResidualRotation(fullRotation(size, size, 5), size);
      const x = noise(3 * size, size);
      const y = x.slice();
      rotation.rows(y);
      rotation.undo(y);
      assert.ok(relativeError(y, x) < 1e-6);
    });

    it(`of ${size}: columns turn as rows do`, () => {
      const rotation = new ResidualRotation(fullRotation(size, size, 5), size);
      const rows = noise(3 * size, size);
      const columns = transposed(rows, 3, size);
      rotation.rows(rows);
      rotation.columns(columns, 3);
      assert.deepEqual(transposed(columns, size, 3), rows);
    });
  }

  it("spreads an outlier over all channels", () => {
    const row = new Float32Array(320);
    row[77] = 320;
    new ResidualRotation(fullRotation(320, 640, 0), 320).rows(row);
    for (const value of row) assert.ok(Math.abs(Math.abs(value) - Math.sqrt(320)) < 1e-4);
  });

  it("depends on the seed of its signs, and on nothing else", () => {
    const turned = (seed: number) => {
      const row = noise(64, 1);
      new ResidualRotation(fullRotation(64, 128, seed), 64).rows(row);
      return row;
    };
    assert.deepEqual(turned(3), turned(3));
    assert.notDeepEqual(turned(3), turned(4));
  });
});

/** [rows, columns] to [columns, rows]. */
function transposed(x: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(x, (_, i) => x[(i % rows) * columns + Math.floor(i / rows)]!);
}
