/** HTU: the Hadamard transform of every order and size, and the host's matrices. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as host from "../../host/model/hadamard.ts";
import { hadamardShape, hadamardSigns, type OracleHadamard, sylvester } from "../oracle/hadamard.ts";
import { Random } from "../oracle/random.ts";
import { BACKENDS } from "./backend.ts";
import { HADAMARD_ORDERS, HTU_CASES } from "./cases.ts";
import { caseName } from "./support.ts";

/** Of u: 18 bits. */
const [LOW, HIGH] = [-(2 ** 17), 2 ** 17 - 1];
/** Outputs that are compared: the whole product of a large matrix is slow to know. */
const SAMPLES = 40;

/** H[row][column] within a block. */
function sign({ k, signs }: OracleHadamard, row: number, column: number): number {
  const width = 2 ** k;
  return signs[Math.floor(row / width)]![Math.floor(column / width)]! * sylvester(row % width, column % width);
}

/** One output of the transform, by its definition. */
function output(u: Int32Array, hadamard: OracleHadamard, index: number): number {
  const size = hadamard.m * 2 ** hadamard.k;
  const [block, row] = [Math.floor(index / size), index % size];
  let sum = 0;
  for (let column = 0; column < size; column++) sum += sign(hadamard, row, column) * u[block * size + column]!;
  return sum;
}

function inputs(hadamard: OracleHadamard, random: Random): Int32Array[] {
  const size = hadamard.m * 2 ** hadamard.k;
  const length = hadamard.blocks * size;
  const row = random.integer(0, size - 1);
  // A row's own signs give the largest sum there is; all alike, ±2^17, give the largest of row 0.
  return [
    Int32Array.from({ length }, () => random.integer(LOW, HIGH)),
    Int32Array.from({ length }, () => (random.integer(0, 1) === 0 ? LOW : HIGH)),
    Int32Array.from({ length }, (_, i) => (sign(hadamard, row, i % size) > 0 ? HIGH : LOW)),
    Int32Array.from({ length }, () => LOW),
  ];
}

describe("HTU", () => {
  HTU_CASES.forEach((shape, seed) => {
    test(caseName(shape), () => {
      const random = new Random(seed + 1);
      const hadamard = { ...shape, signs: hadamardSigns(shape.m) };
      for (const u of inputs(hadamard, random)) {
        const found = BACKENDS.map((backend) => backend.transform(u, hadamard));
        for (let sample = 0; sample < SAMPLES; sample++) {
          const index = u.length <= SAMPLES ? sample % u.length : random.integer(0, u.length - 1);
          const expected = output(u, hadamard, index);
          BACKENDS.forEach(({ name }, i) => {
            assert.equal(found[i]![index], expected, `${name}: w[${index}]`);
          });
        }
        for (const w of found.slice(1)) assert.deepEqual(w, found[0], "the backends differ");
      }
    });
  });
});

describe("Hadamard matrices of the host", () => {
  test("every order: the same signs as the page's", () => {
    assert.deepEqual(HADAMARD_ORDERS.slice(0, 9), [12, 20, 28, 36, 44, 60, 68, 76, 84]);
    for (const m of HADAMARD_ORDERS)
      assert.deepEqual([...host.hadamardSigns(m)], hadamardSigns(m).flat(), `order ${m}`);
  });

  test("every size up to 1024, and sizes of models: the same blocks, order and log2", () => {
    const sizes = Array.from({ length: 1024 }, (_, i) => i + 1);
    for (const size of [...sizes, 1536, 1600, 2048, 2560, 3072, 4096, 5120, 6144, 7168, 7680, 8192]) {
      const { blocks, m, k } = hadamardShape(size);
      assert.deepEqual(host.hadamardShape(size), { blocks, order: m, log2: k }, `size ${size}`);
    }
  });
});
