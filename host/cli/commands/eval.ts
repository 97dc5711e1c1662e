import { type Command, Option } from "commander";
import { LightMambaError } from "../../errors.ts";
import { defineCommand } from "../command.ts";
import { integer } from "../options.ts";
import type { Output } from "../output.ts";

/** Options of `eval` as commander hands them over; one of `text` and `idsFile` is given. */
export interface EvalOptions {
  text?: string;
  idsFile?: string;
  reference?: string;
  limit?: number;
}

export function define(output: Output): Command {
  return defineCommand("eval", "Measure perplexity on a text, and KL divergence from the original checkpoint.", [
    ["perplexity on a text", "eval mamba2-130m-w4a4 --text prose.txt"],
    ["and how far the model is from its checkpoint", "eval mamba2-130m-w4a4 --text prose.txt --reference mamba2-130m"],
    ["the first 256 of some stored token ids", "eval mamba2-130m-w4a4 --ids-file eval.safetensors --limit 256 --json"],
  ])
    .argument("<model>", "quantized model directory")
    .addOption(new Option("--text <file>", "UTF-8 text; - reads standard input").conflicts("idsFile"))
    .option("--ids-file <file>", "safetensors file with one tensor of token ids")
    .option("--reference <checkpoint>", "original checkpoint, run in FP32: adds the KL divergence in nats a token")
    .option("--limit <count>", "use the first tokens only", integer({ min: 2 }))
    .action((model: string, options: EvalOptions) => evaluate(model, options, output));
}

async function evaluate(_model: string, options: EvalOptions, _output: Output): Promise<void> {
  if (options.text === undefined && options.idsFile === undefined) {
    throw new LightMambaError("usage", "nothing to evaluate on", { hint: "give --text <file> or --ids-file <file>" });
  }
  throw new LightMambaError("unsupported", "eval is not connected yet");
}
