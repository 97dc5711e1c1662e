import { type Command, Option } from "commander";
import { type BenchOptions, bench, defaultThreads } from "../../bench/bench.ts";
import { busyRemark } from "../../bench/machine.ts";
import { HWMON } from "../../bench/power/hwmon.ts";
import { formatResult } from "../../bench/report.ts";
import { LightMambaError } from "../../errors.ts";
import type { ActivationBits } from "../../model/description.ts";
import type { ShapeName } from "../../model/shapes.ts";
import { EMBEDDED_MODEL, modelDir } from "../../package.ts";
import { VARIANTS, type Variant } from "../../runtime/engine.ts";
import { MOST_THREADS } from "../../runtime/threads.ts";
import { defineCommand } from "../command.ts";
import { integer, listOf, oneOf, SIMD_HELP, shapeName } from "../options.ts";
import type { Output } from "../output.ts";

/** Options of `bench` as commander hands them over. */
export interface BenchFlags {
  model?: string;
  shape?: ShapeName;
  activationBits?: ActivationBits[];
  headBits?: 4 | 8;
  threads?: number[];
  simd?: Variant;
  tokens: number;
  prefill: number;
  rounds: number;
  hwmon: string;
}

export function define(output: Output): Command {
  return defineCommand("bench", "Measure the speed of a model, or of synthetic weights in a published shape.", [
    ["the embedded model", "bench"],
    ["a model of yours", "bench --model mamba2-130m-w4a4"],
    ["a shape without its checkpoint, with 4-bit and 8-bit activations", "bench --shape 370m --activation-bits 4,8"],
    ["with energy a token, from monitors mounted elsewhere", "bench --hwmon /mnt/board/sys/class/hwmon -n 512"],
    ["what threads bring, for programs", "bench --shape 1.3b --threads 1,2 --json"],
  ])
    .addOption(new Option("-m, --model <dir>", `model directory (default: ${EMBEDDED_MODEL})`).conflicts("shape"))
    .option("--shape <name>", "pseudo-random weights in this shape: 130m, 370m, 780m, 1.3b or 2.7b", shapeName)
    .option(
      "--activation-bits <list>",
      "with --shape: 4, 5, 6 or 8, or several to compare (default: 4)",
      listOf(oneOf([4, 5, 6, 8])),
    )
    .option("--head-bits <bits>", "with --shape: width of lm_head, 4 or 8 (default: 4)", oneOf([4, 8]))
    .option("--threads <list>", "as in 1,2 (default: 1 to all cores)", listOf(integer({ min: 1, max: MOST_THREADS })))
    .option("--simd <name>", SIMD_HELP, oneOf(VARIANTS))
    .option("-n, --tokens <count>", "tokens to decode in a round", integer({ min: 1, max: 1 << 20 }), 64)
    .option("--prefill <count>", "tokens of the prompt", integer({ min: 1, max: 1 << 20 }), 64)
    .option("--rounds <count>", "how often, after one round to warm up", integer({ min: 1, max: 1000 }), 5)
    .option("--hwmon <dir>", "where Linux shows power monitors", HWMON)
    .action((flags: BenchFlags) => run(flags, output));
}

async function run(flags: BenchFlags, output: Output): Promise<void> {
  const source = sourceOf(flags);
  const busy = busyRemark();
  if (busy !== undefined) output.note(busy);
  const progress = output.progress("bench");
  const result = await bench({
    source,
    threads: flags.threads ?? defaultThreads(),
    variant: flags.simd,
    decodeTokens: flags.tokens,
    prefillTokens: flags.prefill,
    rounds: flags.rounds,
    hwmon: flags.hwmon,
    progress: progress.update,
  });
  progress.done();
  if (output.json) output.record(result);
  else output.line(formatResult(result));
}

function sourceOf({ model, shape, activationBits, headBits }: BenchFlags): BenchOptions["source"] {
  if (shape !== undefined) return { shape, activationBits: activationBits ?? [4], headBits: headBits ?? 4 };
  if (activationBits !== undefined || headBits !== undefined) {
    throw new LightMambaError("usage", "a model directory has its widths already", { hint: "add --shape <name>" });
  }
  return modelDir(model ?? EMBEDDED_MODEL);
}
