/** The history of speed: its lines, and the picture of them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { drawHistory } from "../../bench/history/chart.ts";
import { type Entry, entriesOf, readHistory } from "../../bench/history/entry.ts";
import { historyTable } from "../../bench/history/table.ts";
import { bench } from "../../host/bench/bench.ts";
import { LightMambaError } from "../../host/errors.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-history-"));
after(() => rmSync(scratch, { recursive: true }));

function entry(change: Partial<Entry> = {}): Entry {
  const around = (median: number) => ({ median, low: median * 0.9, high: median * 1.1 });
  return {
    date: "2026-11-01T10:00:00.000Z",
    commit: "abcdef123",
    machine: "Processor <A&B>, 2 cores",
    node: "v24.21.0",
    model: "mamba2-370m",
    activationBits: 4,
    headBits: 4,
    threads: 1,
    decodeTokensPerSecond: around(40),
    prefillTokensPerSecond: around(90),
    prefillTokens: 64,
    timeToFirstTokenSeconds: around(0.7),
    weightBytesPerSecond: 7e9,
    readBytesPerSecond: 3e10,
    ...change,
  };
}

/** Every element is closed, in the right order; returns how often each occurs. */
function elements(svg: string): Record<string, number> {
  const open: string[] = [];
  const counts: Record<string, number> = {};
  const text = svg.replace(/<style>[^<]*<\/style>/, "");
  for (const [, close, name, rest] of text.matchAll(/<(\/?)([a-z]+)([^<>]*)>/g)) {
    if (close === "/") assert.equal(open.pop(), name);
    else {
      counts[name!] = (counts[name!] ?? 0) + 1;
      if (!rest!.endsWith("/")) open.push(name!);
    }
  }
  assert.deepEqual(open, []);
  assert.doesNotMatch(svg, /NaN|undefined|Infinity/);
  return counts;
}

describe("the table", () => {
  it("has all of the last run, and says what it was measured on", () => {
    const table = historyTable([
      entry(),
      entry({ date: "2026-11-02T10:00:00.000Z", threads: 2 }),
      entry({ date: "2026-11-02T10:00:00.000Z", activationBits: 8 }),
    ]);
    const [, , first, second, , about] = table.split("\n");
    assert.equal(
      first,
      "| mamba2-370m | 4 bits | 2 | relaxed | 175 | 40.0 (36.0-44.0) | 7.0 | 30.0 | 90.0 (81.0-99.0) |",
    );
    assert.match(second!, /^\| mamba2-370m \| 8 bits \| 1 \|/);
    assert.match(about!, /Processor <A&B>, 2 cores; Node 24\.21\.0; 2026-11-02, commit abcdef123\.$/);
  });
});

describe("the lines", () => {
  it("hold what a measurement says, and come back", async () => {
    const source = { shape: "mamba2-130m", layers: 1, activationBits: [4, 8], headBits: 8 } as const;
    const result = await bench({ source, threads: [1], decodeTokens: 2, prefillTokens: 3, rounds: 2 });
    const entries = entriesOf(result, { date: "2026-11-01T10:00:00.000Z", commit: "abc" });
    assert.deepEqual(
      entries.map(({ model, activationBits, headBits, threads }) => [model, activationBits, headBits, threads]),
      [
        ["mamba2-130m", 4, 8, 1],
        ["mamba2-130m", 8, 8, 1],
      ],
    );
    for (const [i, { readBytesPerSecond, shareOfReadBandwidth }] of entries.entries()) {
      const run = result.runs[i]!;
      assert.ok(Math.abs(readBytesPerSecond / run.readBytesPerSecond.median - 1) < 1e-6);
      assert.ok(Math.abs(shareOfReadBandwidth!.median / run.shareOfReadBandwidth.median - 1) < 1e-4);
    }
    const path = join(scratch, "history.jsonl");
    writeFileSync(path, entries.map((line) => `${JSON.stringify(line)}\n`).join(""));
    assert.deepEqual(readHistory(path), entries);
  });

  it("are none where there is no file", () => {
    assert.deepEqual(readHistory(join(scratch, "none.jsonl")), []);
  });

  for (const line of ["{", "null", "{}", '{"decodeTokensPerSecond":{"median":-1}}']) {
    it(`are named where they are damaged: ${line}`, () => {
      const path = join(scratch, "damaged.jsonl");
      writeFileSync(path, `${JSON.stringify(entry())}\n${line}\n`);
      assert.throws(
        () => readHistory(path),
        (error: unknown) =>
          error instanceof LightMambaError && /damaged\.jsonl:2: not a measurement/.test(error.message),
      );
    });
  }
});

describe("the picture", () => {
  const [first, second] = ["2026-11-01T10:00:00.000Z", "2026-11-02T10:00:00.000Z"];

  it("has a point for every entry in both panels, and a line for every series", () => {
    const entries = [first, second].flatMap((date) => [1, 2].map((threads) => entry({ date, threads })));
    const { circle, polyline, g } = elements(drawHistory(entries));
    assert.deepEqual([circle, polyline, g], [8, 4, 2]);
  });

  it("keeps machines apart", () => {
    const svg = drawHistory([entry(), entry({ machine: "another" })]);
    assert.deepEqual([elements(svg).g, elements(svg).polyline], [4, 4]);
  });

  it("stands on a logarithmic scale of round numbers around all values", () => {
    const svg = drawHistory([entry({ decodeTokensPerSecond: { median: 3, low: 2.5, high: 700 } })]);
    const ticks = [...svg.matchAll(/text-anchor="end">([\d.]+)</g)].map(([, text]) => Number(text));
    assert.deepEqual(ticks.slice(0, 9), [2, 5, 10, 20, 50, 100, 200, 500, 1000]);
  });

  it("places later runs to the right, and faster ones higher", () => {
    const later = entry({ date: second, decodeTokensPerSecond: { median: 80, low: 79, high: 81 } });
    // Out of order, as lines of merged branches are.
    const svg = drawHistory([later, entry()]);
    const line = /points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"/.exec(svg)!.slice(1).map(Number);
    assert.ok(line[0]! < line[2]! && line[1]! > line[3]!);
  });

  it("escapes names, sets labels apart, and follows the reader's colour scheme", () => {
    const svg = drawHistory([entry(), entry({ activationBits: 8 }), entry({ headBits: 8 })]);
    assert.match(svg, /Processor &lt;A&amp;B&gt;/);
    assert.match(svg, /prefers-color-scheme: dark/);
    const labels = [...svg.matchAll(/y="([\d.]+)">370m W4A/g)].map(([, y]) => Number(y)).slice(0, 3);
    labels.sort((a, b) => a - b);
    assert.ok(labels[1]! - labels[0]! >= 12 && labels[2]! - labels[1]! >= 12, String(labels));
  });

  it("of nothing is empty, and of many runs names a few", () => {
    assert.equal(elements(drawHistory([])).g, undefined);
    const many = Array.from({ length: 40 }, (_, i) => entry({ date: new Date(1.8e12 + i * 864e5).toISOString() }));
    const names = [...drawHistory(many).matchAll(/>abcdef123</g)].length;
    assert.ok(names >= 2 && names <= 14, String(names));
  });
});
