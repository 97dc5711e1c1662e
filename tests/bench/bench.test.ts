/** `lightmamba bench`: the form of its results, and its faults. Speeds are not tested, only that they fit together. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type BenchResult, bench } from "../../host/bench/bench.ts";
import { formatResult } from "../../host/bench/report.ts";
import { showSpread, spread } from "../../host/bench/spread.ts";
import { formatTable } from "../../host/bench/table.ts";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "../cli/lightmamba.ts";

/** Where no monitor is, so that results have the same form everywhere. */
const NONE = { hwmon: "/nowhere" };
const QUICK = { ...NONE, threads: [1], decodeTokens: 2, prefillTokens: 2, rounds: 2 };

/** Names and types, all the way down. */
function formOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [formOf(value[0])];
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, formOf(part)]));
}

const SPREAD = { median: "number", low: "number", high: "number" };
const FORM = {
  date: "string",
  machine: { processor: "string", cores: "number", memoryGb: "number", system: "string", node: "string" },
  model: "string",
  synthetic: "boolean",
  dModel: "number",
  layers: "number",
  variant: "string",
  rounds: "number",
  decodeTokens: "number",
  prefillTokens: "number",
  hwmon: "string",
  runs: [
    {
      threads: "number",
      activationBits: "number",
      headBits: "number",
      weightBytesPerToken: "number",
      stateBytes: "number",
      timeToFirstTokenSeconds: SPREAD,
      prefillTokensPerSecond: SPREAD,
      decodeTokensPerSecond: SPREAD,
      weightBytesPerSecond: "number",
      readBytesPerSecond: SPREAD,
      shareOfReadBandwidth: SPREAD,
      shareWithState: SPREAD,
      rounds: [{ decodeTokensPerSecond: "number", readBytesPerSecond: ["number"] }],
      power: "object",
      units: [{ unit: "string", seconds: "number" }],
    },
  ],
};

describe("bench, as a library", () => {
  it("measures several widths of a shape in turn, with one thread and two", async () => {
    const seen: string[] = [];
    const result = await bench({
      ...QUICK,
      threads: [1, 2],
      source: { shape: "mamba2-130m", layers: 1, activationBits: [4, 8], headBits: 8 },
      progress: (done, total, note) => seen.push(`${done}/${total} ${note}`),
    });
    assert.deepEqual(formOf(result), FORM);
    assert.equal(seen.length, 12);
    assert.deepEqual([seen[0], seen.at(-1)], ["0/12 warming up", "11/12 round 2 of 2"]);
    assert.deepEqual([result.model, result.synthetic, result.layers], ["mamba2-130m", true, 1]);
    const widths = result.runs.map(({ activationBits, headBits, threads }) => [activationBits, headBits, threads]);
    assert.deepEqual(widths, [
      [4, 8, 1],
      [8, 8, 1],
      [4, 8, 2],
      [8, 8, 2],
    ]);
    for (const run of result.runs) checkFigures(run, result);
  });

  function checkFigures(run: BenchResult["runs"][number], { prefillTokens }: BenchResult): void {
    const { decodeTokensPerSecond, prefillTokensPerSecond, timeToFirstTokenSeconds } = run;
    const { readBytesPerSecond, shareOfReadBandwidth, shareWithState } = run;
    const speeds = [decodeTokensPerSecond, prefillTokensPerSecond, timeToFirstTokenSeconds, readBytesPerSecond];
    for (const { median, low, high } of [...speeds, shareOfReadBandwidth, shareWithState]) {
      assert.ok(low > 0 && low <= median && median <= high && Number.isFinite(high));
    }
    assert.ok(timeToFirstTokenSeconds.high >= prefillTokens / prefillTokensPerSecond.high);
    assert.equal(run.weightBytesPerSecond, decodeTokensPerSecond.median * run.weightBytesPerToken);
    assert.equal(run.rounds.length, QUICK.rounds);
    for (const round of run.rounds) assert.equal(round.readBytesPerSecond.length, 2);
    const most = (decodeTokensPerSecond.high * run.weightBytesPerToken) / readBytesPerSecond.low;
    assert.ok(shareOfReadBandwidth.high <= most * (1 + 1e-9));
    const more = 1 + (2 * run.stateBytes) / run.weightBytesPerToken;
    assert.ok(Math.abs(shareWithState.median / shareOfReadBandwidth.median / more - 1) < 1e-9);
    // Shared by threads, and the first one's alone is shown: on a busy machine it may have had none of them
    const shared = ["MMU in_proj", "SSMU", "MMU out_proj", "MMU lm_head"];
    for (const unit of [...shared, "NQU", "HTU", "sampler"]) {
      const idle = run.threads > 1 && shared.includes(unit);
      assert.ok(run.units.find((found) => found.unit === unit)!.seconds > 0 || idle, unit);
    }
  }

  it("shows all of it to people", async () => {
    const source = { shape: "mamba2-130m", layers: 1, activationBits: [4], headBits: 4 } as const;
    const text = formatResult(await bench({ ...QUICK, source }));
    for (const part of [
      /1 layers of 768, synthetic/,
      /W4A4 .* \d+\.\d \(/,
      /threads read GB\/s/,
      /SSMU +\d/,
      /sampler +\d/,
    ]) {
      assert.match(text, part);
    }
    assert.doesNotMatch(text, /NaN|undefined|Infinity/);
  });

  it("takes the middle, and the ends", () => {
    assert.deepEqual(spread([3, 1, 2]), { median: 2, low: 1, high: 3 });
    assert.deepEqual(spread([4, 1, 2, 3]), { median: 2, low: 1, high: 4 });
    assert.deepEqual(spread([7]), { median: 7, low: 7, high: 7 });
    assert.equal(showSpread({ median: 1.25, low: 1, high: 2 }, 1), "1.3 (1.0-2.0)");
  });

  it("draws tables without empty columns", () => {
    const rows = [{ a: "x", b: 1 }, { a: "long" }] as { a: string; b?: number; c?: string }[];
    const table = formatTable(rows, [
      { title: "a", cell: ({ a }) => a, left: true },
      { title: "bb", cell: ({ b }) => b?.toString() },
      { title: "c", cell: ({ c }) => c },
    ]);
    assert.equal(table, "a     bb\nx      1\nlong   -");
  });
});

describe("bench, as a command", { concurrency: 2 }, () => {
  const FEW = ["--rounds", "1", "-n", "2", "--prefill", "2", "--hwmon", NONE.hwmon];

  it("measures the embedded model by default; --json is one document of the same form", async () => {
    const { code, stdout, stderr } = await lightmamba(["bench", ...FEW, "--json", "-q"]);
    assert.deepEqual([code, stderr], [0, ""]);
    const result = JSON.parse(stdout) as BenchResult;
    assert.deepEqual(formOf(result), FORM);
    assert.deepEqual([result.synthetic, result.dModel], [false, 320]);
  });

  const FAULTS: [args: string[], exit: keyof typeof EXIT, message: RegExp][] = [
    [["--shape", "3b"], "usage", /'3b' is invalid. Expected one of mamba2-130m, .*, mamba2-2\.7b/],
    [["--threads", "0"], "usage", /'0' is invalid. Expected a whole number from 1 to 64/],
    [["--threads", "1,"], "usage", /Expected a whole number/],
    [["--shape", "130m", "--activation-bits", "4,7"], "usage", /Expected 4, 5, 6 or 8/],
    [["--shape", "130m", "--model", "x"], "usage", /cannot be used with/],
    [["--head-bits", "8"], "usage", /has its widths already\nhint: add --shape/],
    [["--rounds", "0"], "usage", /Expected a whole number/],
    [["--model", "tests/golden/tiny"], "badInput", /tests\/golden\/tiny/],
  ];
  for (const [args, exit, message] of FAULTS) {
    it(`refuses ${args.join(" ")}`, async () => {
      const { code, stdout, stderr } = await lightmamba(["bench", ...args]);
      assert.match(stderr, message);
      assert.deepEqual([code, stdout], [EXIT[exit], ""]);
    });
  }
});
