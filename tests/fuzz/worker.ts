/** Runs one target in a thread of its own, so that a hang can be ended and named from outside. */

import { parentPort, workerData } from "node:worker_threads";
import { LightMambaError } from "../../host/errors.ts";
import { randomOf } from "./random.ts";
import { cleanUp, TARGETS } from "./targets.ts";

export interface Job {
  target: string;
  seed: number;
  rounds: number;
  /** [the round that is being read] */
  beat: Int32Array<SharedArrayBuffer>;
}

export interface Outcome {
  refused: number;
  /** Milliseconds that the slowest input took. */
  slowest: number;
  slowestRound: number;
  /** Bytes by which the process grew at most. */
  grown: number;
  fault?: { round: number; message: string };
}

/** What an input did that it must not do. */
function faultOf(error: unknown): string | undefined {
  if (!(error instanceof LightMambaError)) return `not a LightMambaError: ${(error as Error)?.stack ?? error}`;
  if (error.exit !== "badInput" && error.exit !== "unsupported") return `exit ${error.exit}: ${error.message}`;
  if (/[\r\n]/.test(error.message)) return `more than one line: ${error.message}`;
  return error.message.length > 2000 ? `a message of ${error.message.length} characters` : undefined;
}

function run({ target, seed, rounds, beat }: Job): Outcome {
  const { valid, make, read } = TARGETS[target]!();
  try {
    read(valid);
  } catch (error) {
    throw new Error(`the input that should be right is refused: ${(error as Error).message}`, { cause: error });
  }
  const before = process.memoryUsage.rss();
  const outcome: Outcome = { refused: 0, slowest: 0, slowestRound: 0, grown: 0 };
  for (let round = 0; round < rounds; round++) {
    const bytes = make(randomOf(seed * 1_000_003 + round));
    Atomics.store(beat, 0, round);
    const start = performance.now();
    try {
      read(bytes);
    } catch (error) {
      const message = faultOf(error);
      if (message !== undefined) return { ...outcome, fault: { round, message } };
      outcome.refused++;
    }
    const took = performance.now() - start;
    if (took > outcome.slowest) Object.assign(outcome, { slowest: took, slowestRound: round });
    if (round % 64 === 0) outcome.grown = Math.max(outcome.grown, process.memoryUsage.rss() - before);
  }
  return outcome;
}

if (parentPort) {
  try {
    parentPort.postMessage(run(workerData as Job));
  } finally {
    cleanUp();
  }
}
