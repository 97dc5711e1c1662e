/** `npm run bench`: measures published shapes with the built command line; --save adds the figures to the history. */
import { spawnSync } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchResult } from "../host/bench/bench.ts";
import { formatResult } from "../host/bench/report.ts";
import { EXIT, LightMambaError } from "../host/errors.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { drawHistory } from "./history/chart.ts";
import { type Entry, entriesOf, HISTORY, readHistory } from "./history/entry.ts";
import { CLI, ROOT } from "./paths.ts";

const CHART = join(ROOT, "bench", "history.svg");

const USAGE = `usage: npm run bench -- [options]

Measures decoding and prefill of published shapes (lightmamba bench --shape), and keeps a history.

  --shapes <list>           default: 130m,370m,1.3b
  --activation-bits <list>  default: 4,8
  --threads <list>          default: 1 to all cores
  --rounds <count>          default: 7
  --save                    add the figures to bench/history.jsonl, and draw bench/history.svg
  -h, --help`;

function readOptions(args: string[]) {
  const text = { type: "string" } as const;
  return readScriptOptions(args, {
    shapes: { ...text, default: "130m,370m,1.3b" },
    "activation-bits": { ...text, default: "4,8" },
    rounds: { ...text, default: "7" },
    threads: text,
    save: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  });
}

/** A process for each shape, so that each begins with an empty memory. Progress is shown as it comes. */
function measure(args: readonly string[]): BenchResult {
  const { status, stdout } = spawnSync(process.execPath, [CLI, "bench", "--json", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  // Ctrl-C went to the child as well: we end as it did.
  if (status === null || status === EXIT.interrupted) process.exit(EXIT.interrupted);
  const answer = JSON.parse(stdout) as BenchResult & { error?: Parameters<typeof LightMambaError.revive>[0] };
  if (answer.error !== undefined) throw LightMambaError.revive(answer.error);
  return answer;
}

/** With a + where something is not committed. */
function commitName(): string {
  const git = (...args: string[]) => spawnSync("git", ["-C", ROOT, ...args], { encoding: "utf8" });
  const { status, stdout } = git("rev-parse", "--short=9", "HEAD");
  if (status !== 0) return "unknown";
  const changed = git("status", "--porcelain", "--untracked-files=no").stdout.trim() !== "";
  return `${stdout.trim()}${changed ? "+" : ""}`;
}

function save(entries: readonly Entry[]): void {
  appendFileSync(HISTORY, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
  writeFileSync(CHART, drawHistory(readHistory(HISTORY)));
  process.stderr.write(`saved ${entries.length} lines in ${HISTORY}, drew ${CHART}\n`);
}

function main(): void {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const run = { date: new Date().toISOString(), commit: commitName() };
  // A damaged history is found before minutes are spent.
  readHistory(HISTORY);
  const entries: Entry[] = [];
  for (const shape of options.shapes.split(",")) {
    const threads = options.threads === undefined ? [] : ["--threads", options.threads];
    const widths = ["--activation-bits", options["activation-bits"]];
    const result = measure(["--shape", shape, ...widths, ...threads, "--rounds", options.rounds]);
    process.stdout.write(`${formatResult(result)}\n\n`);
    entries.push(...entriesOf(result, run));
  }
  // All or nothing, so that every run of the history has every shape that was asked for.
  if (options.save) save(entries);
}

runScript("bench", main);
