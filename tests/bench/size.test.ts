/** The sizes that are saved: complete, within the board's part, on the page, and still those of the RTL. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { pageOf } from "../../bench/pages.ts";
import { type Cell, longestPath, type Netlist } from "../../bench/size/depth.ts";
import { elaborate, nameOf, readModules, UNITS } from "../../bench/size/design.ts";
import { formatTerminal, usedOf } from "../../bench/size/table.ts";
import { sizeOf, synthesize, yosysMissing } from "../../bench/size/yosys.ts";
import { BUILDS, readSizes, sizePage } from "../../bench/size.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { LightMambaError } from "../../host/errors.ts";
import { KINDS, sumOfCounted } from "../../host/estimate/counts.ts";

const saved = readSizes();
const skip = yosysMissing() ?? false;

describe("the saved sizes", () => {
  it("are of the builds that boards/ asks for", () => {
    const builds = saved.builds.map(({ name, parameters }) => ({ name, parameters }));
    assert.deepEqual(builds, BUILDS, "npm run sim:size -- --save");
  });

  for (const build of saved.builds) {
    it(`of ${build.name} have every part`, () => {
      // One for each port that has a part of the state
      const expected = Object.keys(UNITS).filter((one) => one !== "lm_state_port" || build.parameters.STATE_PORTS! > 0);
      assert.deepEqual(new Set(build.parts.map(({ module }) => module)), new Set(expected));
      for (const part of build.parts) assert.ok(part.luts > 0 && part.path.levels > 0, part.module);
    });
  }

  for (const build of saved.builds.filter(({ name }) => name.startsWith("vck190"))) {
    it(`of ${build.name} fit the part well beside a shell`, () => {
      const used = usedOf(sumOfCounted(build.parts), BOARDS.vck190.logic);
      for (const [kind, share] of Object.entries(used)) assert.ok(share < 0.6, `${kind}: ${share}`);
    });

    it(`of ${build.name} have large memories in block RAM and UltraRAM`, () => {
      const { blockRams, ultraRams, memoryLuts } = sumOfCounted(build.parts);
      assert.ok(ultraRams >= 8 * build.parameters.PORTS!, "weights read ahead");
      assert.ok(blockRams > 50);
      assert.ok(memoryLuts < 20_000, `LUTs as memory: ${memoryLuts}`);
    });
  }

  it("stand on the page", () => {
    const { found, expected } = sizePage(saved);
    assert.equal(found, expected, "npm run sim:size -- --save");
    assert.throws(
      () => pageOf("README.md", { sizes: "" }),
      (error: unknown) => error instanceof LightMambaError && /has no place for a table/.test(error.message),
    );
  });

  it("are shown with sums and shares", () => {
    assert.match(formatTerminal(saved), /^vck190\n\nunit +LUT +LUT as memory[\s\S]*all and shell, of these +\d+\.\d %/);
  });
});

/** Parts that take seconds; others change seldom without one of these. */
const SMALL = ["lm_copy", "lm_axi_rd_mux", "lm_axi_wr_mux", "lm_rows"];
const BAND = 0.05;

describe("yosys", { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-size-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const rtlil = join(folder, "design.il");
  const build = BUILDS[0]!;
  const parts = elaborate(build, rtlil);
  const rows = saved.builds[0]!.parts;

  it("finds as many parts of each kind as were saved", () => {
    const counts = (list: readonly { module: string; count: number }[]) =>
      list.map(({ module, count }) => [module, count]);
    assert.deepEqual(counts(parts), counts(rows));
  });

  for (const part of parts.filter(({ module }) => SMALL.includes(module))) {
    it(`makes of ${part.module} what was saved, within ${100 * BAND} %`, () => {
      const found = synthesize(part, rtlil);
      const row = rows.find(({ module }) => module === part.module)!;
      for (const kind of KINDS) {
        const off = Math.abs(found[kind] - row[kind]);
        assert.ok(
          off <= BAND * row[kind],
          `${kind}: saved ${row[kind]}, found ${found[kind]}: npm run sim:size -- --save`,
        );
      }
      assert.ok(Math.abs(found.path.levels - row.path.levels) <= 1, `levels ${found.path.levels}`);
    });
  }
});

describe("an elaborated design", () => {
  const text = `module \\lm_top
  cell $add $add$1
  end
  cell $paramod\\lm_fifo\\WIDTH=s32'1 \\one
  end
  cell $paramod\\lm_fifo\\WIDTH=s32'1 \\two
  end
end
module $paramod\\lm_fifo\\WIDTH=s32'1
end
`;
  it("has modules, instances and cells", () => {
    const modules = readModules(text);
    assert.deepEqual([...modules.keys()].map(nameOf), ["lm_top", "lm_fifo"]);
    const { children, cells } = modules.get("\\lm_top")!;
    assert.deepEqual([[...children.values()], cells], [[2], 1]);
  });
});

/** A register, `levels` LUTs in a row, a register. */
function chainOf(levels: number, extra: { [name: string]: Cell } = {}): Netlist {
  const cell = (type: string, inputs: Cell["connections"], outputs: Cell["connections"]): Cell => ({
    type,
    parameters: {},
    port_directions: Object.fromEntries([
      ...Object.keys(inputs).map((port) => [port, "input"]),
      ...Object.keys(outputs).map((port) => [port, "output"]),
    ]),
    connections: { ...inputs, ...outputs },
  });
  const luts = Array.from({ length: levels }, (_, i) => [
    `lut${i}`,
    cell("LUT2", { I0: [i], I1: ["0"] }, { O: [i + 1] }),
  ]);
  return {
    ports: {},
    cells: {
      first: cell("FDRE", { D: ["1"] }, { Q: [0] }),
      ...Object.fromEntries(luts),
      last: cell("FDRE", { D: [levels] }, { Q: [100] }),
      ...extra,
    },
    netnames: {
      begin: { hide_name: 0, bits: [0] },
      end: { hide_name: 0, bits: [99, 100] },
    },
  };
}

describe("a netlist", () => {
  it("has a longest path, from register to register", () => {
    assert.deepEqual(longestPath(chainOf(3)), { levels: 3, luts: 3, carries: 0, from: "begin", to: "end[1]" });
  });

  it("is counted", () => {
    const { luts, flipFlops, dsps } = sizeOf(chainOf(3));
    assert.deepEqual([luts, flipFlops, dsps], [3, 2, 0]);
  });

  it("with cells that nobody knows is an error", () => {
    const odd = { type: "$mul", parameters: {}, port_directions: {}, connections: {} };
    assert.throws(() => sizeOf(chainOf(1, { odd })), /cells \$mul/);
  });
});
