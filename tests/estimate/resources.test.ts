/** The model of resources against yosys: the counts that are kept (npm run estimate:resources), and some parts of a build that nobody has counted yet. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { compare, OTHER_BUILDS, parametersOf, readCounted, TOLERANCE, worst } from "../../bench/estimate/resources.ts";
import { buildOf, elaborate } from "../../bench/size/design.ts";
import { synthesize, yosysMissing } from "../../bench/size/yosys.ts";
import { BUILDS } from "../../bench/size.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { LightMambaError } from "../../host/errors.ts";
import { type Counts, KINDS, NOTHING, sumOf } from "../../host/estimate/counts.ts";
import { beyond, limitsOf, needsOf, partsOf, resourcesOf, SHELL } from "../../host/estimate/resources.ts";

describe("the model of resources", () => {
  const builds = readCounted();

  it("is held against all builds that there are", () => {
    assert.deepEqual(
      builds.map(({ name, parameters }) => ({ name, parameters })),
      [...BUILDS, ...OTHER_BUILDS],
      "npm run sim:size -- --save; npm run estimate:resources",
    );
  });

  for (const build of builds) {
    it(`is within ${100 * TOLERANCE} % of ${build.name}, in each kind, and has its parts`, () => {
      const row = compare(build);
      assert.ok(worst([row]) <= TOLERANCE, JSON.stringify(row));
      assert.deepEqual(countsOf(Object.values(partsOf(parametersOf(build))).flat()), countsOf(build.parts));
    });
  }

  it("would be found wrong", () => {
    const [build] = builds;
    const parts = build!.parts.map((part) => ({ ...part, dsps: part.dsps * 1.12 }));
    assert.ok(worst([compare({ ...build!, parts })]) > TOLERANCE);
  });
});

/** How many of each module. */
function countsOf(parts: readonly { module: string; count: number }[]): { [module: string]: number } {
  const counts: { [module: string]: number } = {};
  for (const { module, count } of parts) counts[module] = (counts[module] ?? 0) + count;
  return Object.fromEntries(Object.entries(counts).sort());
}

describe("a design", () => {
  const build = parametersOf(BUILDS[0]!);

  it("is its units and the shell, and a share of what the board has", () => {
    const { units, shell, all, share } = resourcesOf(build, BOARDS.vck190.logic);
    assert.deepEqual(shell, SHELL);
    assert.deepEqual(all, sumOf([...Object.values(units), shell].map((each) => ({ count: 1, each }))));
    assert.equal(share!.luts, (all.luts + all.memoryLuts) / BOARDS.vck190.logic.luts);
    assert.equal(share!.ultraRams, all.ultraRams / BOARDS.vck190.logic.ultra_rams);
    assert.equal(resourcesOf(build).share, undefined);
  });

  const limits: [name: string, counts: Partial<Counts>, field: string | undefined][] = [
    ["all that there is", { luts: 899_000, memoryLuts: 840, dsps: 1968, ultraRams: 463 }, undefined],
    ["a LUT more, as memory", { luts: 899_000, memoryLuts: 841 }, "LUT"],
    ["a DSP more", { dsps: 1969 }, "DSP"],
    ["half a block RAM more", { blockRams: 967.5 }, "RAMB36"],
    ["flip-flops beyond the part", { flipFlops: 2e6 }, "FF"],
    ["UltraRAM beyond the part", { ultraRams: 464 }, "URAM"],
  ];
  for (const [name, counts, field] of limits) {
    it(`${field === undefined ? "fits with" : "does not fit with"} ${name}`, () => {
      const refused = beyond({ ...NOTHING, ...counts }, limitsOf(BOARDS.vck190.logic));
      assert.deepEqual(
        [refused?.detail.field, refused?.exit],
        field === undefined ? [undefined, undefined] : [field, "unsupported"],
      );
      if (refused !== undefined) assert.ok(refused instanceof LightMambaError && /at most/.test(refused.message));
    });
  }

  it("is not limited where nothing is known of the logic", () => {
    assert.equal(beyond({ ...NOTHING, luts: 1e9 }, limitsOf(undefined)), undefined);
  });
});

const skip = yosysMissing() ?? false;

describe("yosys today", { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-resources-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const build = buildOf("new", BOARDS.vck190, { PORTS: 3, TOKENS: 3 });
  const rtlil = join(folder, "design.il");
  const parts = elaborate(build, rtlil);
  const modelled = Object.values(partsOf(parametersOf(build))).flat();

  it("finds as many parts", () => {
    assert.deepEqual(countsOf(parts), countsOf(modelled));
  });

  for (const module of ["lm_regs", "lm_rows"]) {
    it(`makes of ${module} what the formulas say, within ${100 * TOLERANCE} %`, () => {
      const found = synthesize(parts.find((part) => part.module === module)!, rtlil);
      const { each } = modelled.find((part) => part.module === module)!;
      for (const kind of KINDS) {
        const off = Math.abs(each[kind] - found[kind]);
        assert.ok(off <= TOLERANCE * found[kind], `${kind}: the model has ${each[kind]}, yosys ${found[kind]}`);
      }
      assert.ok(needsOf(found).luts > 1000);
    });
  }
});
