/** Compares llama.cpp's quantizations of a checkpoint with ours. What it measures and how: docs/peers.md. */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeMachine, machineLine } from "../host/bench/machine.ts";
import { openCheckpoint } from "../host/checkpoint/index.ts";
import { checkIds, readIdsFile } from "../host/ids.ts";
import { runScript } from "../host/tools/script.ts";
import { checkBuilt, ROOT } from "./paths.ts";
import { buildLlama, LLAMA_VERSION, type Llama } from "./peers/llama.ts";
import { type Options, readOptions, USAGE } from "./peers/options.ts";
import { makeOurs, readOurs } from "./peers/ours.ts";
import { say } from "./peers/programs.ts";
import { measureSpeed, type SpeedOptions } from "./peers/speed.ts";
import { Steps } from "./peers/step.ts";
import { formatFeatures, formatQuality, formatSpeed, sorted } from "./peers/table.ts";
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
  const about = `KL to FP32 in nats a token, over ${ids.length - 1} tokens; best first.`;
  finish("peers", { tokens: ids.length - 1, rows }, `${formatQuality(rows)}\n\n${about}`, options, llama);
}

function compareSpeed(speed: SpeedOptions, options: Options, { steps, llamas }: Tools): void {
  const rows = measureSpeed(speed, { steps, llamas, jobs: options.jobs });
  const about = `Medians of ${speed.rounds} rounds (lowest-highest), random weights.`;
  const table = `${formatSpeed(rows)}\n\n${formatFeatures(rows)}\n${about}`;
  finish("peers-speed", { ...speed, rows }, table, options, llamas[0]);
}

/** Everything a result must name goes with it. */
function finish(name: string, found: object, table: string, { save, json }: Options, { compiler }: Llama): void {
  const machine = { ...describeMachine(), compiler };
  const result = { date: new Date().toISOString(), machine, llama: LLAMA_VERSION, ...found };
  if (save) {
    const path = join(ROOT, "bench", "results", `${name}.json`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${JSON.stringify(result, undefined, 2)}\n`);
    say(`saved ${path}`);
  }
  const text = `${table} ${LLAMA_VERSION}.\n${machineLine(machine)}; ${compiler}`;
  process.stdout.write(`${json ? JSON.stringify(result) : text}\n`);
}

function compare(options: Options): void {
  const steps = new Steps(options.cache);
  checkBuilt();
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
