/** Compares llama.cpp's quantizations of a checkpoint with ours. What it measures and how: docs/peers.md. */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeMachine, machineLine } from "../host/bench/machine.ts";
import { openCheckpoint } from "../host/checkpoint/index.ts";
import { checkIds, readIdsFile } from "../host/ids.ts";
import { ROOT } from "./paths.ts";
import { buildLlama, LLAMA_VERSION } from "./peers/llama.ts";
import { type Options, readOptions, USAGE } from "./peers/options.ts";
import { makeOurs, readOurs } from "./peers/ours.ts";
import { say } from "./peers/programs.ts";
import { measureSpeed } from "./peers/speed.ts";
import { Steps } from "./peers/step.ts";
import { formatTable, type Row, sorted } from "./peers/table.ts";
import { type Inputs, idsFile, judgeTheirs, makeTheirs } from "./peers/theirs.ts";
import { runScript } from "./script.ts";

const RESULTS = join(ROOT, "bench", "results", "peers.json");

function compare(options: Options): void {
  const checkpoint = openCheckpoint(options.checkpoint);
  const ids = readIdsFile(options.idsFile).subarray(0, options.limit);
  checkIds(ids, checkpoint.config.vocabUsed, options.idsFile);
  const inputs: Inputs = { steps: new Steps(options.cache), checkpoint, ids, jobs: options.jobs };
  const llama = buildLlama(inputs.steps, options);
  const theirs = makeTheirs(llama, inputs);
  const ours = makeOurs(inputs, options.idsFile);
  const theirRows = judgeTheirs(theirs, inputs);
  const ourRows = readOurs(ours);
  const rows = sorted([...theirRows, ...ourRows]);
  if (options.speed) {
    measureSpeed(rows, theirRows, ourRows, { ...inputs, llama, ids: idsFile(inputs), theirs, ours });
  }
  const machine = { ...describeMachine(), compiler: llama.compiler };
  const result = { date: new Date().toISOString(), machine, llama: LLAMA_VERSION, tokens: ids.length - 1, rows };
  if (options.save) save(result);
  process.stdout.write(
    options.json
      ? `${JSON.stringify(result)}\n`
      : report(rows, `${machineLine(machine)}; ${llama.compiler}`, ids.length - 1),
  );
}

function report(rows: readonly Row[], machine: string, tokens: number): string {
  return `${formatTable(rows)}\n\nKL to FP32 in nats a token, over ${tokens} tokens; best first. ${LLAMA_VERSION}.\n${machine}\n`;
}

function save(result: unknown): void {
  mkdirSync(dirname(RESULTS), { recursive: true });
  writeFileSync(RESULTS, `${JSON.stringify(result, undefined, 2)}\n`);
  say(`saved ${RESULTS}`);
}

runScript("bench:peers", () => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(`${USAGE}\n`);
  else compare(options);
});
