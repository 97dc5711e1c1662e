/**
 * Whatever is in a file, reading it ends well or in the package's own error, in little time and memory.
 * LIGHTMAMBA_FUZZ_SEED gives other inputs, LIGHTMAMBA_FUZZ_FACTOR more of them; an input that fails is saved in
 * build/fuzz.
 */

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { randomOf } from "./random.ts";
import { cleanUp, TARGETS } from "./targets.ts";
import type { Job, Outcome } from "./worker.ts";

const SEED = Number(process.env.LIGHTMAMBA_FUZZ_SEED ?? 1);
const FACTOR = Number(process.env.LIGHTMAMBA_FUZZ_FACTOR ?? 1);
/** For one input. Far above what any takes, since the machine may be busy with other tests. */
const LONGEST_MS = 2_000;
/** By which the process may grow while a target runs. */
const MOST_BYTES = 256 * 2 ** 20;
const FAILURES = join(import.meta.dirname, "../../build/fuzz");
const LEAST_INPUTS = 100_000;

after(cleanUp);

/** Saves the input of a round and says where. */
function saved(target: string, round: number): string {
  const path = join(FAILURES, `${target.replaceAll(/[^a-z0-9]+/gi, "-")}-${SEED}-${round}`);
  mkdirSync(FAILURES, { recursive: true });
  writeFileSync(path, TARGETS[target]!().make(randomOf(SEED * 1_000_003 + round)));
  return `target "${target}", seed ${SEED}, round ${round}, input saved as ${path}`;
}

/** Runs the target in a thread, and ends the thread when it stays at one input. */
function fuzz(target: string, rounds: number): Promise<Outcome> {
  const beat = new Int32Array(new SharedArrayBuffer(4));
  const job: Job = { target, seed: SEED, rounds, beat };
  const limits = { maxOldGenerationSizeMb: 512 };
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: job, resourceLimits: limits });
  return new Promise((resolve, reject) => {
    let [last, since] = [-1, performance.now()];
    const watch = setInterval(() => {
      const round = Atomics.load(beat, 0);
      if (round !== last) [last, since] = [round, performance.now()];
      else if (performance.now() - since > 5 * LONGEST_MS) fail(new Error("it hangs"));
    }, 200);
    const fail = (error: Error) => {
      clearInterval(watch);
      void worker.terminate();
      reject(new Error(`${error.message}: ${saved(target, Atomics.load(beat, 0))}`, { cause: error }));
    };
    worker.once("error", fail);
    worker.once("message", (outcome: Outcome) => {
      clearInterval(watch);
      resolve(outcome);
    });
  });
}

let inputs = 0;
for (const target of Object.keys(TARGETS)) {
  test(`fuzz: ${target}`, async (context) => {
    const rounds = Math.ceil(TARGETS[target]!().rounds * FACTOR);
    const { fault, refused, slowest, slowestRound, grown } = await fuzz(target, rounds);
    inputs += rounds;
    if (fault) assert.fail(`${fault.message}\n${saved(target, fault.round)}`);
    const share = Math.round((100 * refused) / rounds);
    context.diagnostic(
      `${rounds} inputs, ${share} % refused, slowest ${slowest.toFixed(1)} ms, grown ${grown >> 20} MiB`,
    );
    assert.ok(slowest < LONGEST_MS, `${slowest} ms: ${slowest < LONGEST_MS || saved(target, slowestRound)}`);
    assert.ok(grown < MOST_BYTES, `the process grew by ${grown >> 20} MiB`);
    assert.ok(refused > rounds / 10, `only ${refused} of ${rounds} refused: the changes hit nothing`);
  });
}

test("fuzz: enough inputs", () => {
  assert.ok(inputs >= LEAST_INPUTS * Math.min(1, FACTOR), `${inputs}`);
});
