/** history.jsonl: one measurement a line, oldest first. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchResult } from "../../host/bench/bench.ts";
import type { Spread } from "../../host/bench/spread.ts";
import { badInput } from "../../host/errors.ts";
import { ROOT } from "../paths.ts";

export const HISTORY = join(ROOT, "bench", "history.jsonl");

export interface Entry {
  /** Of the run: all its entries have the same. */
  date: string;
  /** With a + where the working copy was not as committed. */
  commit: string;
  machine: string;
  node: string;
  model: string;
  activationBits: number;
  headBits: number;
  threads: number;
  /** Whose vectors; of entries before there were several "relaxed", and absent. */
  simd?: BenchResult["variant"];
  decodeTokensPerSecond: Spread;
  prefillTokensPerSecond: Spread;
  prefillTokens: number;
  timeToFirstTokenSeconds: Spread;
  weightBytesPerSecond: number;
  readBytesPerSecond: number;
  /** Of the read bandwidth of the same round; of entries before it was measured in each, absent. */
  shareOfReadBandwidth?: Spread;
  shareWithState?: Spread;
}

export function entriesOf(result: BenchResult, { date, commit }: { date: string; commit: string }): Entry[] {
  const { processor, cores, memoryGb, system, node } = result.machine;
  return result.runs.map((run) => ({
    date,
    commit,
    machine: `${processor}, ${cores} cores, ${memoryGb} GiB, ${system}`,
    node,
    model: result.model,
    activationBits: run.activationBits,
    headBits: run.headBits,
    threads: run.threads,
    simd: result.variant,
    decodeTokensPerSecond: rounded(run.decodeTokensPerSecond),
    prefillTokensPerSecond: rounded(run.prefillTokensPerSecond),
    prefillTokens: result.prefillTokens,
    timeToFirstTokenSeconds: rounded(run.timeToFirstTokenSeconds),
    weightBytesPerSecond: Math.round(run.weightBytesPerSecond),
    readBytesPerSecond: Math.round(run.readBytesPerSecond.median),
    shareOfReadBandwidth: rounded(run.shareOfReadBandwidth),
    shareWithState: rounded(run.shareWithState),
  }));
}

/** Five digits: more than any measurement has. */
function rounded({ median, low, high }: Spread): Spread {
  const five = (value: number) => Number(value.toPrecision(5));
  return { median: five(median), low: five(low), high: five(high) };
}

/** None where there is no file yet. */
export function readHistory(path: string): Entry[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.flatMap((line, i) => (line === "" ? [] : [parseEntry(line, `${path}:${i + 1}`)]));
}

function parseEntry(line: string, file: string): Entry {
  try {
    const entry = JSON.parse(line) as Entry;
    if (entry.decodeTokensPerSecond.median > 0 && entry.prefillTokensPerSecond.median > 0) return entry;
  } catch {
    // Said below.
  }
  throw badInput("not a measurement", {
    file,
    hint: "npm run bench -- --save writes this file; git knows what it was",
  });
}
