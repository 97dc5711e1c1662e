/** What bench/results/sim.json keeps of the simulated RTL: complete, in its pages, and still what the RTL does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pageOf } from "../../bench/pages.ts";
import { embeddedSubject, measure, SETTINGS, shapeSubject } from "../../bench/sim/measure.ts";
import { formatSim, simTables } from "../../bench/sim/table.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import type { BoardName } from "../../host/device/index.ts";
import { passOf } from "../../host/estimate/estimate.ts";
import { layerOf, modelledTimeline } from "../../host/estimate/timeline.ts";
import { readSim, type SimRow } from "../../host/report/recorded.ts";
import { withPorts } from "../../host/runtime/ports.ts";
import { skipReason } from "../rtl/support.ts";

const sim = readSim();
const subjects = [shapeSubject("mamba2-2.7b", sim.layers), embeddedSubject()];
const board = BOARDS[sim.board as BoardName];

function configurationOf({ setting: { ports, partition, serial } }: SimRow) {
  const build = { stateLanes: 2, prefetch: board.build.prefetch };
  return { board: { ...board, ...withPorts(board, ports) }, build, partition, serial };
}

describe("what the RTL said", () => {
  it("is of every subject in every setting", () => {
    const expected = subjects.flatMap(({ name }) => SETTINGS.map((setting) => ({ model: name, setting })));
    const found = sim.rows.map(({ model, setting }) => ({ model, setting }));
    assert.deepEqual(found, expected, "npm run sim:report -- --save");
  });

  for (const row of sim.rows) {
    const subject = subjects.find(({ name }) => name === row.model)!;
    const { tokens } = row.setting;
    it(`has the commands of the pass: ${row.model}, ${row.setting.name}`, () => {
      const commands = passOf(subject, configurationOf(row), { tokens, logits: true }).flat();
      assert.deepEqual(
        row.spans.map(({ unit, layer }) => [unit, layer]),
        commands.map(({ unit, layer }) => [unit, layer]),
      );
      for (const { cycles, held } of row.spans) assert.ok(cycles > 0 && held >= 0 && held <= cycles);
    });
  }

  it("is near the model, command by command: 2.7B", () => {
    const row = sim.rows.find(({ setting }) => setting.name === "all overlaps")!;
    const spans = modelledTimeline(subjects[0]!, configurationOf(row), { tokens: 1, logits: true });
    const [found, expected] = [layerOf(spans, sim.layers - 1), layerOf(row.spans, sim.layers - 1)];
    const most = 0.03 * expected.cycles;
    assert.ok(Math.abs(found.cycles - expected.cycles) <= most);
    for (const [i, { start, cycles }] of expected.spans.entries()) {
      assert.ok(Math.abs(found.spans[i]!.start - start) <= most, `command ${i} starts`);
      assert.ok(Math.abs(found.spans[i]!.cycles - cycles) <= most, `command ${i} takes`);
    }
  });

  it("stands in docs/accelerator.md", () => {
    const { found, expected } = pageOf("docs/accelerator.md", { ...simTables(sim) });
    assert.equal(found, expected, "npm run report");
    assert.match(formatSim(sim), /^board vck190, 300 MHz[\s\S]*all overlaps +6 /);
  });

  it("needs a place in its page", () => {
    assert.throws(() => pageOf("README.md", { nowhere: "" }), /README\.md: has no place for a table \(expected <!-- n/);
  });
});

/** Polling by the host moves a few cycles. */
const TOLERANCE = 0.01;
const skip = skipReason("top");
describe("the RTL today", { skip }, () => {
  it("does what was kept: embedded, one port", () => {
    const kept = sim.rows.find(({ model, setting }) => model === "embedded" && setting.ports === 1)!;
    const found = measure(subjects[1]!, kept.setting, sim.board as BoardName, sim.a72);
    const off = (a: number, b: number) => Math.abs(a - b) / (kept.cycles * subjects[1]!.layers);
    assert.ok(off(found.cycles, kept.cycles) <= TOLERANCE, `${found.cycles}: npm run sim:report -- --save`);
    for (const [i, { start, cycles }] of kept.spans.entries()) {
      assert.ok(off(found.spans[i]!.start, start) <= TOLERANCE, `command ${i}: ${found.spans[i]!.start}, not ${start}`);
      assert.ok(off(found.spans[i]!.cycles, cycles) <= TOLERANCE, `command ${i}`);
    }
  });
});
