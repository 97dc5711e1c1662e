import { existsSync } from "node:fs";
import type { Command } from "commander";
import { type QuantizeResult, quantizeCheckpoint, removePartial } from "../../quantize/index.ts";
import { resumeDirectory } from "../../quantize/resume.ts";
import { defineCommand } from "../command.ts";
import { onInterrupt } from "../interrupt.ts";
import { decimal, integer, oneOf } from "../options.ts";
import type { Output } from "../output.ts";
import { phaseProgress } from "../progress.ts";

/** Options of `quantize` as commander hands them over. */
export interface QuantizeOptions {
  output: string;
  calibration?: string;
  calibrationTokens?: number;
  seed: number;
  rotation: "on" | "off" | "auto";
  method?: "rtn" | "smoothquant" | "lightmamba";
  weights: "rtn" | "gptq";
  activationBits: 4 | 5 | 6 | 8;
  headBits: 4 | 8;
  smooth?: boolean;
  groupSize: 16 | 32 | 64 | 128;
  stateBits: 8 | 16;
  powerOfTwoScales?: boolean;
  klBudget?: number;
  threads: number;
  force?: boolean;
}

export function define(output: Output): Command {
  return defineCommand("quantize", "Turn a Mamba-2 checkpoint into a 4-bit model directory.", [
    ["quantize a checkpoint that was downloaded before", "quantize mamba2-130m -o mamba2-130m-w4a4"],
    [
      "calibrate on a text of your own",
      "quantize mamba2-130m -o out --calibration prose.txt --calibration-tokens 4096",
    ],
    ["what the rotation is worth", "quantize mamba2-130m -o plain --rotation off"],
  ])
    .argument(
      "<checkpoint>",
      "directory with config.json, weights (.safetensors or .bin) and tokenizer.json; or a .gguf file",
    )
    .requiredOption("-o, --output <dir>", "directory to write")
    .option("--calibration <file>", "text to calibrate on; by default the model writes its own")
    .option(
      "--calibration-tokens <count>",
      "how many tokens of it to use (default: 16384, rtn 2048)",
      integer({ min: 1, max: 1 << 20 }),
    )
    .option(
      "--seed <number>",
      "seed of the rotation and of the model's own text",
      integer({ min: 0, max: 0xffff_ffff }),
      0,
    )
    .option(
      "--rotation <how>",
      "on, off, or auto: measure both and keep the better",
      oneOf(["on", "off", "auto"]),
      "on",
    )
    .option("--smooth", "with --rotation off: SmoothQuant before out_proj (the paper's baseline)")
    .option(
      "--weights <name>",
      "rounding: rtn (to nearest), gptq (with error feedback)",
      oneOf(["rtn", "gptq"]),
      "gptq",
    )
    .option("--activation-bits <bits>", "width of activations: 4, 5, 6, 8", oneOf([4, 5, 6, 8]), 4)
    .option("--head-bits <bits>", "width of lm_head's weights: 4, 8", oneOf([4, 8]), 4)
    .option("--group-size <inputs>", "weights that share a scale: 16, 32, 64, 128", oneOf([16, 32, 64, 128]), 32)
    .option("--state-bits <bits>", "width of the recurrent state: 8, 16", oneOf([8, 16]), 8)
    .option("--power-of-two-scales", "weight scales that are shifts, as in the paper's hardware")
    .option(
      "--kl-budget <nats>",
      "KL to FP32 a token on calibration text: matrices get 8 bits until it holds",
      decimal({ min: 0, above: true }),
    )
    .option("--threads <count>", "threads to work with; the result is the same", integer({ min: 1, max: 64 }), 2)
    .option("-f, --force", "replace the output directory if it exists")
    .action((checkpoint: string, given: QuantizeOptions, command: Command) =>
      quantize(checkpoint, withMethod(given, command), output),
    );
}

/** What the paper compares: plain rounding, SmoothQuant, and its own hardware's recipe. */
const METHODS: Record<NonNullable<QuantizeOptions["method"]>, Partial<QuantizeOptions>> = {
  rtn: { weights: "rtn", rotation: "off" },
  smoothquant: { weights: "rtn", rotation: "off", smooth: true },
  lightmamba: { weights: "rtn", rotation: "on", groupSize: 128, powerOfTwoScales: true },
};

/** The method's options, where the user has not said otherwise. */
function withMethod(given: QuantizeOptions, command: Command): QuantizeOptions {
  if (given.method === undefined) return given;
  const chosen = Object.entries(METHODS[given.method]).filter(
    ([name]) => (command.getOptionValueSource(name) ?? "default") === "default",
  );
  return { ...given, ...Object.fromEntries(chosen) };
}

/** The work is in threads, so Ctrl-C is heard; what was written by then is removed. */
async function quantize(checkpoint: string, options: QuantizeOptions, output: Output): Promise<void> {
  const heard = onInterrupt(() => {
    removePartial(options.output);
    const kept = resumeDirectory(options.output);
    if (existsSync(kept)) output.warn(`\ninterrupted: the same command goes on from ${kept}`);
  });
  const phases = phaseProgress(output);
  const result = await quantizeCheckpoint(checkpoint, options.output, {
    ...(options.calibration !== undefined && { calibrationFile: options.calibration }),
    ...(options.calibrationTokens !== undefined && { calibrationTokens: options.calibrationTokens }),
    seed: options.seed,
    rotation: options.rotation,
    smooth: options.smooth === true,
    activationBits: options.activationBits,
    stateBits: options.stateBits,
    weights: {
      method: options.weights,
      wide: options.headBits === 8 ? ["lm_head"] : [],
      group: options.groupSize,
      powerOfTwoScales: options.powerOfTwoScales === true,
    },
    ...(options.klBudget !== undefined && { klBudget: options.klBudget }),
    threads: options.threads,
    force: options.force === true,
    progress: phases.update,
  });
  phases.done();
  heard();
  report(result, output);
}

function report({ dir, bytes, description, notes, calibrationKl }: QuantizeResult, output: Output): void {
  const { errors, calibration } = description;
  if (output.json) {
    output.record({ dir, bytes, notes, calibrationKl, description });
    return;
  }
  for (const note of notes) output.warn(`note: ${note}`);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  output.line(`${dir}: ${(bytes / 1e6).toFixed(2)} MB`);
  output.line(
    `calibrated on ${calibration.tokens} tokens, ${calibration.source}; there KL to FP32 is ${calibrationKl.toFixed(4)} nats/token`,
  );
  output.line(
    `signal to rounding noise: in_proj ${mean(errors.layers.map((layer) => layer.inProjDb)).toFixed(1)} dB, ` +
      `out_proj ${mean(errors.layers.map((layer) => layer.outProjDb)).toFixed(1)} dB, lm_head ${errors.headDb.toFixed(1)} dB`,
  );
}
