import { type Command, Option } from "commander";
import { type QuantizeResult, removePartial } from "../../quantize/index.ts";
import { type QuantizeJob, quantizeInThread } from "../../quantize/thread.ts";
import { defineCommand } from "../command.ts";
import { onInterrupt } from "../interrupt.ts";
import { integer, oneOf, onOff } from "../options.ts";
import type { Output } from "../output.ts";
import { phaseProgress } from "../progress.ts";

/** Options of `quantize` as commander hands them over. */
export interface QuantizeOptions {
  output: string;
  calibration?: string;
  calibrationTokens: number;
  seed: number;
  rotation: boolean;
  method: "rtn";
  activationBits: 4;
  headBits: 4;
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
    .argument("<checkpoint>", "directory with config.json, the weights (.safetensors or .bin) and tokenizer.json")
    .requiredOption("-o, --output <dir>", "directory to write")
    .option("--calibration <file>", "text to calibrate on; by default the model writes its own")
    .option("--calibration-tokens <count>", "how many tokens of it to use", integer({ min: 1, max: 1 << 20 }), 2048)
    .option(
      "--seed <number>",
      "seed of the rotation and of the model's own text",
      integer({ min: 0, max: 0xffff_ffff }),
      0,
    )
    .addOption(
      new Option("--rotation <on|off>", "rotate the residual stream before rounding")
        .argParser(onOff)
        .default(true, "on"),
    )
    .option("--method <name>", "how weights are rounded: rtn", oneOf("--method", ["rtn"], ["gptq", "gptaq"]), "rtn")
    .option("--activation-bits <bits>", "width of activations: 4", oneOf("--activation-bits", [4], [5, 6, 8]), 4)
    .option("--head-bits <bits>", "width of the head's weights: 4", oneOf("--head-bits", [4], [8]), 4)
    .option("-f, --force", "replace the output directory if it exists")
    .action((checkpoint: string, options: QuantizeOptions) => quantize(checkpoint, options, output));
}

/** In a thread of its own, so that Ctrl-C is heard; what it has written by then is removed. */
async function quantize(checkpoint: string, options: QuantizeOptions, output: Output): Promise<void> {
  const job: QuantizeJob = {
    checkpoint,
    output: options.output,
    options: {
      ...(options.calibration !== undefined && { calibrationFile: options.calibration }),
      calibrationTokens: options.calibrationTokens,
      seed: options.seed,
      rotation: options.rotation,
      activationBits: options.activationBits,
      force: options.force === true,
    },
  };
  const heard = onInterrupt(() => removePartial(options.output));
  const phases = phaseProgress(output);
  const result = await quantizeInThread(job, phases.update);
  phases.done();
  heard();
  report(result, output);
}

function report({ dir, bytes, description, notes }: QuantizeResult, output: Output): void {
  const { errors, calibration } = description;
  if (output.json) {
    output.record({ dir, bytes, notes, description });
    return;
  }
  for (const note of notes) output.warn(`note: ${note}`);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  output.line(`${dir}: ${(bytes / 1e6).toFixed(2)} MB`);
  output.line(`calibrated on ${calibration.tokens} tokens, ${calibration.source}`);
  output.line(
    `signal to rounding noise: in_proj ${mean(errors.layers.map((layer) => layer.inProjDb)).toFixed(1)} dB, ` +
      `out_proj ${mean(errors.layers.map((layer) => layer.outProjDb)).toFixed(1)} dB, lm_head ${errors.headDb.toFixed(1)} dB`,
  );
}
