/** The model of power: its sums, its bands, that each figure counts, and the paper's design in it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BOARDS, FIGURES } from "../../host/device/boards.generated.ts";
import type { BoardName } from "../../host/device/index.ts";
import { bandedPower, energyOf } from "../../host/estimate/energy.ts";
import { type EstimateBoard, estimatePass } from "../../host/estimate/estimate.ts";
import { paperRows } from "../../host/estimate/paper.ts";
import { boardWith } from "../../host/estimate/point.ts";
import { parametersOf, resourcesOf } from "../../host/estimate/resources.ts";
import { shapeConfig } from "../../host/model/shapes.ts";
import { syntheticDescription } from "../../host/runtime/synthetic.ts";

const config = shapeConfig("mamba2-130m", 4);
const shape = { config, description: syntheticDescription(config) };
const build = { stateLanes: 2, prefetch: 2048 };

function energy(name: BoardName, { ports = 6, clock = 300 } = {}) {
  const board: EstimateBoard = boardWith(BOARDS[name], ports, clock);
  const configuration = { board, build, partition: "fused", serial: [] } as const;
  const pass = estimatePass(shape, configuration, { tokens: 1, logits: true });
  const resources = resourcesOf(parametersOf(BOARDS[name].build, ports, build));
  const withPower = (power = board.power) =>
    energyOf(pass, resources, { ...board, ...(power === undefined ? {} : { power }) }, FIGURES[name]!);
  return { pass, power: board.power, withPower, found: withPower() };
}

describe("the energy of a token", () => {
  const { pass, found } = energy("vck190");

  it("is the sum of its parts, and power what that is in its time", () => {
    const sum = found!.parts.reduce((total, { joules }) => total + joules, 0);
    assert.ok(Math.abs(sum / found!.joulesPerToken - 1) < 1e-12);
    assert.ok(Math.abs(found!.watts * pass.seconds - found!.joulesPerToken) < 1e-12);
    assert.deepEqual(found!.parts.map(({ part }) => part).slice(0, 2), ["static", "registers"]);
    for (const { part, joules } of found!.parts) assert.ok(part === "copy" ? joules === 0 : joules > 0, part);
  });

  it("has a band around it", () => {
    const { joulesBand, wattsBand, joulesPerToken, watts } = found!;
    assert.ok(joulesBand[0] < joulesPerToken && joulesPerToken < joulesBand[1], String(joulesBand));
    assert.ok(wattsBand[0] < watts && watts < wattsBand[1]);
  });

  it("counts the bytes of each memory once", () => {
    const bytes = Object.values(pass.memoryBytes).reduce((sum, count) => sum + count, 0);
    assert.equal(bytes, pass.bytesRead + pass.bytesWritten);
    assert.deepEqual(Object.keys(pass.memoryBytes).sort(), ["ddr4", "lpddr4_0", "lpddr4_1"]);
    const other = energy("u280", { ports: 4 });
    assert.equal(Object.keys(other.pass.memoryBytes).length, 4);
    assert.ok(other.found!.parts.find(({ part }) => part === "hbm")!.joules > 0);
  });

  it("is more with fewer ports, since the part at rest draws for longer", () => {
    assert.ok(energy("vck190", { ports: 1 }).found!.joulesPerToken > found!.joulesPerToken);
    assert.ok(energy("vck190", { clock: 150 }).found!.joulesPerToken > found!.joulesPerToken);
    assert.ok(energy("vck190", { clock: 150 }).found!.watts < found!.watts);
  });

  for (const name of ["vck190", "u280"] as const) {
    it(`of ${name} grows with each figure of power, all of which have a band`, () => {
      const { found, power, withPower } = energy(name);
      const figures = Object.entries(FIGURES[name]!).filter(([path]) => path.startsWith("power."));
      assert.ok(figures.length >= 11);
      for (const [path, figure] of figures) {
        const { band, value } = figure;
        assert.ok(band !== undefined && band[0] <= value && value < band[1], path);
        const more = withPower(bandedPower(power!, { [path]: figure }, "worst"));
        assert.ok(more!.joulesPerToken > found!.joulesPerToken, path);
      }
    });
  }

  it("is not told where nothing is known", () => {
    assert.equal(energy("sim", { ports: 1 }).found, undefined);
  });
});

describe("the paper's design", () => {
  const rows = paperRows();

  it("comes with its published energy, and the model's with a band", () => {
    const published = rows.filter(({ joules }) => joules.published !== undefined);
    assert.deepEqual(
      published.map(({ what, joules }) => [what, joules.published]),
      [["W4A4, reordered (VCK190)", 1 / 2.25]],
    );
    for (const { what, joules } of rows)
      assert.ok(joules.band[0] < joules.modelled && joules.modelled < joules.band[1], what);
  });

  it("would draw in its logic alone what docs/estimate.md says, and more than published in all", () => {
    const { joules, modelled } = rows.find((row) => row.joules.published !== undefined)!;
    assert.ok(Math.abs(joules.logic * modelled - 4.9) < 0.1, `${joules.logic * modelled} W`);
    assert.ok(Math.abs(joules.modelled * modelled - 12.7) < 0.1, `${joules.modelled * modelled} W`);
    assert.ok(joules.band[0] > joules.published!);
  });
});
