/** HTU: the Hadamard transform of every order and size, and the host's matrices. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as host from "../../host/model/hadamard.ts";
import { hadamardShape, hadamardSigns } from "../oracle/hadamard.ts";
import { Random } from "../oracle/random.ts";
import { BACKENDS } from "./backend.ts";
import { HADAMARD_ORDERS, HTU_CASES } from "./cases.ts";
import { inputs, output } from "./htu.ts";
import { caseName } from "./support.ts";

/** Outputs that are compared: the whole product of a large matrix is slow to know. */
const SAMPLES = 40;

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
