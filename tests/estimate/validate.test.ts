/** The model of speed against the RTL: against the cycles that are kept (npm run estimate:validate), and against the simulated RTL itself. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CASES, type Case, measure, model, titleOf } from "../../bench/estimate/cases.ts";
import { estimatePage } from "../../bench/estimate/docs.ts";
import { compare, readRows, TOLERANCE } from "../../bench/estimate/table.ts";
import { paperRows } from "../../host/estimate/paper.ts";
import { skipReason } from "../rtl/support.ts";

const close = (found: number, expected: number) => Math.abs(found / expected - 1) <= TOLERANCE;

describe("the model of speed", () => {
  const rows = readRows();

  it("is held against at least 20 configurations, all of those that there are", () => {
    assert.ok(rows.length >= 20);
    assert.deepEqual(
      rows.map((row) => row.case),
      JSON.parse(JSON.stringify(CASES)),
    );
    assert.deepEqual(
      rows.map(({ title }) => title),
      CASES.map(titleOf),
    );
  });

  for (const row of rows) {
    it(`${row.title}: ${row.cycles} cycles`, () => {
      const { cycles, beats } = model(row.case);
      assert.ok(close(cycles, row.cycles), `${cycles}, the RTL took ${row.cycles}`);
      assert.deepEqual(beats, row.beats);
    });
  }

  it("would be found wrong", () => {
    const [row] = rows as [(typeof rows)[0]];
    assert.ok(!close(compare({ ...row, cycles: row.cycles * 1.1 }).modelled, row.cycles * 1.1));
  });
});

const paper = paperRows();

it("docs/estimate.md has the tables of today", () => {
  const { found, expected } = estimatePage(paper);
  assert.equal(found, expected, "npm run report");
});

it("the paper's VCK190 comes out within 10 % of what it reports", () => {
  const rows = paper.filter(({ note }) => !note.startsWith("**differs:**"));
  assert.deepEqual(
    rows.map(({ published }) => published),
    [5.32, 7.21, 3.61],
  );
  for (const { what, published, modelled } of rows) assert.ok(Math.abs(modelled / published - 1) < 0.1, what);
});

const skip = skipReason("top");
describe("the RTL today", { skip }, () => {
  const live: Case[] = [CASES[0]!, { ...CASES[0]!, model: "mamba2-130m", layers: 1, board: "vck190" }];
  for (const one of live) {
    it(`takes the model's cycles and beats: ${titleOf(one)}`, () => {
      const [found, expected] = [measure(one), model(one)];
      assert.ok(close(expected.cycles, found.cycles), `${expected.cycles}, the RTL took ${found.cycles}`);
      assert.deepEqual(found.beats, expected.beats);
    });
  }
});
