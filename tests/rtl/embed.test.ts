/** lm_embed: a row of the embedding table, section 3 of docs/numerics.md. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { clamp, rsh, toNumber } from "../oracle/primitives.ts";
import { Random } from "../oracle/random.ts";
import { assertSame } from "../units/support.ts";
import { Request, STALLS, simulate, skipReason } from "./support.ts";

const TOP = 2n ** 30n - 1n;
const COUNT = 256;
const codes = Array.from({ length: COUNT }, (_, i) => i - 128);

function residuals(em: number, shift: number): number[] {
  return codes.map((code) => toNumber(clamp(rsh(BigInt(code * em), shift), -TOP, TOP)));
}

/** Rows one after the other. */
function run(rows: readonly { em: number; shift: number; stall: number }[]) {
  const requests = rows.map(({ em, shift, stall }) => new Request(em + 1, stall).words(COUNT, em, shift).bytes8(codes));
  const result = simulate("embed", requests);
  const found = rows.map((row) => ({ ...row, cycles: result.cycles(), r: result.words32(COUNT) }));
  assert.ok(result.done);
  return found;
}

function check(rows: Parameters<typeof run>[0]): void {
  for (const { em, shift, stall, r } of run(rows)) {
    assertSame(r, residuals(em, shift), `em ${em}, shift ${shift}, stalls ${stall}: r`);
  }
}

describe("lm_embed", { skip: skipReason("embed") }, () => {
  test("every code with every shift there can be", () => {
    const random = new Random(5);
    // FR is 0..16 and ee -100..14: a loader takes no others.
    const shifts = Array.from({ length: 192 }, (_, i) => i - 64);
    const scales = [0, 1, 65535, random.integer(0, 65535)];
    check(shifts.flatMap((shift) => scales.map((em) => ({ em, shift, stall: 0 }))));
  });

  test("stalls", () => check(STALLS.map((stall) => ({ em: 40000, shift: 9, stall }))));

  test("cycles: 16 codes each, and 3", () => {
    assert.equal(run([{ em: 1, shift: 0, stall: 0 }])[0]!.cycles, COUNT / 16 + 3);
  });
});
