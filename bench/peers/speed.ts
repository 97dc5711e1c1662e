/** Speed of decoding, side by side: one run of each in turn, so that a slow minute of the machine hits all alike. */

import { availableParallelism } from "node:os";
import { busyRemark } from "../../host/bench/machine.ts";
import type { Llama } from "./llama.ts";
import { CLI, type OurModel } from "./ours.ts";
import { readProgram, say } from "./programs.ts";
import type { Steps } from "./step.ts";
import type { Row, Speed } from "./table.ts";
import type { TheirModel } from "./theirs.ts";

const ROUNDS = 7;
const DECODED = 64;
/** Tokens before the clock starts: caches and compilers are warm by then, and a recurrent state grows no slower. */
const PROMPT = 128;
/** About as many tokens for us. */
const PROMPT_TEXT = "It was a dark and stormy night, and nobody was abroad. ".repeat(8);

interface Contestant {
  row: Row;
  threads: number;
  run(): number;
  seen: number[];
}

export interface SpeedInputs {
  steps: Steps;
  llama: Llama;
  ids: string;
  theirs: readonly TheirModel[];
  ours: readonly OurModel[];
}

/** Adds `decode` to the rows: Q4_0 with one thread and two, and our models, which have one. */
export function measureSpeed(
  rows: readonly Row[],
  theirRows: readonly Row[],
  ourRows: readonly Row[],
  inputs: SpeedInputs,
): void {
  const contestants = [...theirContestants(theirRows, inputs), ...ourContestants(ourRows, inputs)];
  say(`decoding ${DECODED} tokens, ${ROUNDS} rounds of ${contestants.length} in turn …`);
  const busy = busyRemark();
  if (busy !== undefined) say(busy);
  for (let round = 0; round < ROUNDS; round++) for (const { run, seen } of contestants) seen.push(run());
  for (const { row, threads, seen } of contestants) {
    if (rows.includes(row)) row.decode = { ...row.decode, [threads]: spread(seen) };
  }
}

function theirContestants(rows: readonly Row[], { llama, ids, theirs, steps }: SpeedInputs): Contestant[] {
  const index = theirs.findIndex(({ recipe }) => recipe.name === "Q4_0");
  return [1, 2]
    .filter((threads) => threads <= availableParallelism())
    .map((threads) => ({
      row: rows[index]!,
      threads,
      seen: [],
      run: () => {
        const args = ["speed", theirs[index]!.gguf, ids, String(threads), String(PROMPT), String(DECODED)];
        return (JSON.parse(readProgram(llama.peer, args, steps.log("speed"))) as { decode: number }).decode;
      },
    }));
}

function ourContestants(rows: readonly Row[], { ours, steps }: SpeedInputs): Contestant[] {
  return ours.map(({ directory }, i) => ({
    row: rows[i]!,
    threads: 1,
    seen: [],
    run: () => {
      const args = ["run", PROMPT_TEXT, "--model", directory, "--greedy", "-n", String(DECODED), "--json", "--quiet"];
      const last = readProgram(process.execPath, [CLI, ...args], steps.log("speed"))
        .trim()
        .split("\n")
        .at(-1)!;
      return (JSON.parse(last) as { summary: { tokensPerSecond: number } }).summary.tokensPerSecond;
    },
  }));
}

function spread(seen: readonly number[]): Speed {
  const ordered = seen.toSorted((a, b) => a - b);
  return { median: ordered[ordered.length >> 1]!, low: ordered[0]!, high: ordered.at(-1)! };
}
