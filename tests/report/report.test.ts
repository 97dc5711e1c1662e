/** What a report gathers, in its three forms, and the tables of pages that come from the same results. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { PAGES } from "../../bench/tables.ts";
import { LightMambaError } from "../../host/errors.ts";
import { checkedConfiguration, subjectOf } from "../../host/estimate/subject.ts";
import { LADDER } from "../../host/ladder.ts";
import { el } from "../../host/report/html/markup.ts";
import { formatHtml } from "../../host/report/html/page.ts";
import { linearScale, logScale } from "../../host/report/html/scale.ts";
import { formatNumber, KINDS, type Quantity } from "../../host/report/quantity.ts";
import { readLadder, readSim } from "../../host/report/recorded.ts";
import { gatherReport } from "../../host/report/report.ts";
import { roofline } from "../../host/report/roofline.ts";
import { sectionsOf } from "../../host/report/sections.ts";
import { formatText } from "../../host/report/text.ts";

const CHOICE = { board: "vck190", partition: "fused", serial: [], stateLanes: 2, prompt: 8 } as const;
const embedded = await gatherReport(subjectOf({}), CHOICE, { jobs: 1 });

function* quantities(value: unknown): Generator<Quantity> {
  if (typeof value !== "object" || value === null) return;
  if ("kind" in value && "source" in value) yield value as Quantity;
  for (const one of Object.values(value)) yield* quantities(one);
}

describe("a report", () => {
  it("says of every number how it is known, and from where", () => {
    const all = [...quantities({ ...embedded, pareto: undefined })];
    assert.ok(all.length > 40);
    for (const { kind, source, value } of all) {
      assert.ok(Object.hasOwn(KINDS, kind) && source.length > 5 && Number.isFinite(value), `${kind} ${source}`);
    }
    const kinds = new Set(embedded.comparison.map(({ ours }) => ours.kind));
    assert.deepEqual([...kinds].sort(), ["estimated", "measured", "simulated", "synthesized"]);
  });

  it("never claims a measurement of the accelerator", () => {
    const measured = [...quantities(embedded)].filter(({ kind }) => kind === "measured");
    assert.ok(measured.every(({ source }) => /ladder\.json|recipe/.test(source)));
  });

  it("has the RTL's layer beside the model's where it was recorded", () => {
    const { model, rtl } = embedded.layer;
    assert.ok(rtl !== undefined && Math.abs(model.cycles / rtl.cycles - 1) < 0.05);
    assert.deepEqual(
      model.spans.map(({ unit, what }) => [unit, what]),
      rtl.spans.map(({ unit, what }) => [unit, what]),
    );
    const simulated = embedded.ablation.filter(({ speeds }) => speeds.some(({ kind }) => kind === "simulated"));
    assert.equal(simulated.length, 5);
  });

  const builds = [{}, { ports: 1 }, { ports: 2, board: "u280" }, { board: "sim" }] as const;
  for (const build of builds) {
    it(`lies below its roofs: ${JSON.stringify(build)}`, () => {
      for (const model of [{}, { shape: "mamba2-130m" }] as const) {
        const subject = subjectOf(model);
        const { tokens, ...configuration } = checkedConfiguration(subject, { ...CHOICE, ...build });
        const { roofs, points } = roofline(subject, configuration, tokens, false);
        for (const { productsAByte, gigaproducts, title } of points) {
          const most = Math.max(...roofs.map((r) => Math.min(r.gigaproducts, r.gigabytesPerSecond * productsAByte)));
          assert.ok(gigaproducts < most, `${title}: ${gigaproducts} of ${most}`);
        }
      }
    });
  }

  it("has a front of which none beats another", () => {
    const { all, front } = embedded.pareto;
    assert.ok(front.length > 1 && front.length < all.length);
    for (const one of front) {
      const cheaper = all.filter((other) => other.joulesPerToken! < one.joulesPerToken!);
      const better = cheaper.filter(({ tokensPerSecond, resources, point }) => {
        const less = resources!.luts + resources!.memoryLuts <= one.resources!.luts + one.resources!.memoryLuts;
        return less && point.clockMhz <= one.point.clockMhz && tokensPerSecond! >= one.tokensPerSecond!;
      });
      assert.deepEqual(better, []);
    }
  });

  it("is complete in every form", () => {
    const [html, text] = [formatHtml(embedded), formatText(embedded)];
    const again = formatHtml(JSON.parse(JSON.stringify(embedded)));
    assert.equal(again, html, "JSON has all that the page shows");
    for (const { title, tables } of sectionsOf(embedded)) {
      assert.ok(text.includes(title.toUpperCase()), title);
      assert.ok(
        tables.every(({ cells }) => cells.length > 0 && cells.every((row) => row.every((cell) => cell !== ""))),
      );
    }
    for (const word of ["NaN", "undefined", "Infinity", "[object"]) assert.ok(!(html + text).includes(word), word);
  });

  it("asks for nothing: no script, no address to load", () => {
    const html = formatHtml(embedded);
    assert.doesNotMatch(html, /<script|<link|<img|<iframe|url\(|@import| on\w+=|(src|srcset)=/);
    assert.deepEqual(
      [...html.matchAll(/href="([^"]*)"/g)].filter(([, to]) => !to!.startsWith("#")),
      [],
    );
    assert.match(html, /content="default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'"/);
  });
});

describe("a report of something else", () => {
  it("without power, logic and a recording says so, and has no empty picture", async () => {
    const report = await gatherReport(subjectOf({}), { ...CHOICE, board: "sim", serial: ["htu"] }, { jobs: 1 });
    const [html, text] = [formatHtml(report), formatText(report)];
    assert.match(text, /Nothing is known of the board's power/);
    assert.match(text, /not for this configuration/);
    assert.doesNotMatch(html, /cost-logic|pareto-joules|NaN/);
  });

  it("with a hostile name shows it as text", () => {
    const name = `<img src=x onerror="alert(1)">&`;
    const report = structuredClone(embedded);
    report.estimate.model = name;
    const html = formatHtml(report);
    assert.ok(!html.includes("<img"));
    assert.ok(html.includes("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;"));
  });

  it("which the build cannot run is refused before anything is estimated", async () => {
    const subject = subjectOf({ shape: "mamba2-130m", activationBits: 8 });
    await assert.rejects(gatherReport(subject, CHOICE, { jobs: 1 }), (error: unknown) => {
      return error instanceof LightMambaError && error.exit === "unsupported" && /activation_bits/.test(error.message);
    });
  });
});

describe("recorded results", () => {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-report-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "sim.json");

  const faults: [text: string | undefined, message: RegExp][] = [
    [undefined, /sim\.json: cannot be read/],
    ["{", /sim\.json: cannot be read/],
    ["null", /sim\.json: by: is missing/],
    [`{"by":"","date":"","board":"vck190","layers":2,"builds":[]}`, /sim\.json: rows: is missing/],
  ];
  for (const [text, message] of faults) {
    it(`are refused: ${text ?? "no file"}`, () => {
      if (text !== undefined) writeFileSync(file, text);
      assert.throws(() => readSim(file), message);
    });
  }

  it("have every recipe of the ladder", () => {
    const { rungs } = readLadder();
    assert.deepEqual(
      rungs.map(({ name }) => name),
      LADDER.map(({ name }) => name),
      "npm run bench:ladder -- --save",
    );
  });

  for (const file of [
    "README.md",
    "bench/a72/README.md",
    "docs/peers.md",
    "docs/performance.md",
    "docs/quantization.md",
  ]) {
    it(`stand in ${file}`, () => {
      const { found, expected } = PAGES[file]!();
      assert.equal(found, expected, "npm run report");
    });
  }
});

describe("what pictures are made of", () => {
  it("markup escapes what it is given", () => {
    const made = el("p", { title: `"<&`, width: 1.26, id: undefined }, "<b>", [1, undefined, el("br")]);
    assert.equal(String(made), `<p title="&quot;&lt;&amp;" width="1.3">&lt;b&gt;1<br></p>`);
  });

  it("a linear scale has round marks around its values", () => {
    const scale = linearScale([0, 48.2], [0, 100]);
    assert.deepEqual(scale.ticks, [0, 10, 20, 30, 40, 50]);
    assert.equal(scale(25), 50);
    assert.deepEqual(linearScale([3.5, 9], [0, 1], 6).ticks, [3, 4, 5, 6, 7, 8, 9]);
  });

  it("a logarithmic scale has 1, 2 and 5", () => {
    const scale = logScale([0.003, 0.06], [0, 100]);
    assert.deepEqual(scale.ticks, [0.002, 0.005, 0.01, 0.02, 0.05, 0.1]);
    assert.ok(Math.abs(scale(Math.sqrt(0.002 * 0.1)) - 50) < 1e-9);
    assert.equal(logScale([1, 1], [0, 1]).ticks.length, 2);
  });

  it("numbers have the digits that say something", () => {
    assert.deepEqual([0, 7.21, 48.153, 273.4, 1166.6, 0.0603, 0.00004, 93].map(formatNumber), [
      ...["0", "7.21", "48.2", "273", "1,167", "0.0603", "0.000040", "93"],
    ]);
  });
});
