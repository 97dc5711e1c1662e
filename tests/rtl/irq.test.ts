/** lm_irq: when the interrupt rises and falls. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Request, simulate, skipReason } from "./support.ts";

/** The parameter of the build. */
const HOLD = 8;

/** Cycles in which the level changes, the first to 1. */
function changes(pulses: readonly number[]): number[] {
  const cycles = 200;
  const levels = simulate("irq", new Request(5, 0).words(cycles, pulses.length, ...pulses)).bytes8(cycles);
  return levels.flatMap((level, i) => (level === (levels[i - 1] ?? 0) ? [] : [i]));
}

describe("lm_irq", { skip: skipReason("irq") }, () => {
  test("is low where nothing happens", () => {
    assert.deepEqual(changes([]), []);
  });

  test("a pulse is high for HOLD cycles", () => {
    assert.deepEqual(changes([10]), [11, 11 + HOLD]);
  });

  test("pulses far apart rise one by one", () => {
    const far = 2 * HOLD;
    assert.deepEqual(changes([10, 10 + far]), [11, 11 + HOLD, 11 + far, 11 + far + HOLD]);
  });

  for (const after of [1, HOLD - 1, HOLD, HOLD + 1, 2 * HOLD - 1]) {
    test(`a pulse ${after} cycles after another rises once more, after a pause`, () => {
      assert.deepEqual(changes([10, 10 + after]), [11, 11 + HOLD, 11 + 2 * HOLD, 11 + 3 * HOLD]);
    });
  }

  test("many pulses meanwhile are one", () => {
    assert.deepEqual(changes([10, 12, 13, 20, 22]), [11, 11 + HOLD, 11 + 2 * HOLD, 11 + 3 * HOLD]);
  });
});
