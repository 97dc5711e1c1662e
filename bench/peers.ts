/** Compares llama.cpp's quantizations of a checkpoint with ours. What it measures and how: docs/peers.md. */

import { describeMachine } from "../host/bench/machine.ts";
import { openCheckpoint } from "../host/checkpoint/index.ts";
import { checkIds, readIdsFile } from "../host/ids.ts";
import { resultsPath } from "../host/report/recorded.ts";
import { runScript } from "../host/tools/script.ts";
import { writeRecord } from "./pages.ts";
import { buildLlama, LLAMA_VERSION, type Llama } from "./peers/llama.ts";
import { type Options, readOptions, USAGE } from "./peers/options.ts";
import { makeOurs, readOurs } from "./peers/ours.ts";
import { say } from "./peers/programs.ts";
import { measureSpeed, type SpeedOptions } from "./peers/speed.ts";
import { Steps } from "./peers/step.ts";
import { formatQuality, formatSpeed, type Result, sorted } from "./peers/table.ts";
import { type Inputs, judgeTheirs, makeTheirs } from "./peers/theirs.ts";

/** What both comparisons need: llama.cpp, built, and a place for all that is made. */
interface Tools {
  steps: Steps;
  /** The first makes the files. */
  llamas: readonly [Llama, ...Llama[]];
}

function compareQuality(options: Options, { steps, llamas: [llama] }: Tools): void {
  const checkpoint = openCheckpoint(options.checkpoint);
  const ids = readIdsFile(options.idsFile).subarray(0, options.limit);
  checkIds(ids, checkpoint.config.vocabUsed, options.idsFile);
  const inputs: Inputs = { steps, checkpoint, ids, jobs: options.jobs };
  const theirs = makeTheirs(llama, inputs);
  const ours = makeOurs(inputs, options.idsFile);
  const rows = sorted([...judgeTheirs(theirs, inputs), ...readOurs(ours)]);
  finish("peers", { ...resultOf(llama), tokens: ids.length - 1, rows }, formatQuality, options);
}

function compareSpeed(speed: SpeedOptions, options: Options, { steps, llamas }: Tools): void {
  const rows = measureSpeed(speed, { steps, llamas, jobs: options.jobs });
  finish("peers-speed", { ...resultOf(llamas[0]), ...speed, rows }, formatSpeed, options);
}

function resultOf({ compiler }: Llama): Result {
  return { date: new Date().toISOString(), machine: { ...describeMachine(), compiler }, llama: LLAMA_VERSION };
}

function finish<Found extends object>(
  name: string,
  found: Found,
  format: (found: Found) => string,
  { save, json }: Options,
): void {
  if (save) {
    const path = resultsPath(`${name}.json`);
    writeRecord(path, found);
    say(`saved ${path}`);
  }
  process.stdout.write(`${json ? JSON.stringify(found) : format(found)}\n`);
}

function compare(options: Options): void {
  const steps = new Steps(options.cache);
  const [isa, ...others] = options.speed?.isas ?? ["native" as const];
  const llama = buildLlama(steps, options, isa);
  const tools: Tools = { steps, llamas: [llama, ...others.map((other) => buildLlama(steps, options, other))] };
  if (options.speed === undefined) compareQuality(options, tools);
  else compareSpeed(options.speed, options, tools);
}

runScript("bench:peers", () => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(`${USAGE}\n`);
  else compare(options);
});
