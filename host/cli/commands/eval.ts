import { type Command, Option } from "commander";
import { LightMambaError } from "../../errors.ts";
import { type Evaluation, evaluate } from "../../evaluate.ts";
import { readIdsFile } from "../../ids.ts";
import { Model } from "../../runtime/model.ts";
import { defineCommand } from "../command.ts";
import { readText } from "../input.ts";
import { integer } from "../options.ts";
import type { Output } from "../output.ts";

/** Options of `eval` as commander hands them over; one of `text` and `idsFile` is given. */
export interface EvalOptions {
  text?: string;
  idsFile?: string;
  reference?: string;
  limit?: number;
  simulate?: boolean;
}

export function define(output: Output): Command {
  return defineCommand("eval", "Measure perplexity on a text, and KL divergence from the original checkpoint.", [
    ["perplexity on a text", "eval mamba2-130m-w4a4 --text prose.txt"],
    ["and how far the model is from its checkpoint", "eval mamba2-130m-w4a4 --text prose.txt --reference mamba2-130m"],
    ["the first 256 of some stored token ids", "eval mamba2-130m-w4a4 --ids-file eval.safetensors --limit 256 --json"],
  ])
    .argument("<model>", "quantized model directory")
    .addOption(new Option("--text <file>", "UTF-8 text; - reads standard input").conflicts("idsFile"))
    .option("--ids-file <file>", "safetensors file with a tensor input_ids")
    .option("--reference <checkpoint>", "original checkpoint, run in FP32: adds the KL divergence in nats a token")
    .option("--simulate", "with --reference: also the float simulation, to see what the integers cost")
    .option("--limit <count>", "use the first tokens only", integer({ min: 2 }))
    .action((model: string, options: EvalOptions) => run(model, options, output));
}

async function run(directory: string, options: EvalOptions, output: Output): Promise<void> {
  if (options.text === undefined && options.idsFile === undefined) {
    throw new LightMambaError("usage", "nothing to evaluate on", { hint: "give --text <file> or --ids-file <file>" });
  }
  if (options.simulate === true && options.reference === undefined) {
    throw new LightMambaError("usage", "--simulate needs the checkpoint", { hint: "add --reference <checkpoint>" });
  }
  const model = Model.load(directory);
  const all = await evaluationIds(model, options);
  const progress = output.progress("eval");
  const result = await evaluate(model, all.subarray(0, options.limit), {
    ...(options.reference !== undefined && { reference: options.reference }),
    simulate: options.simulate === true,
    progress: (done, total) => progress.update(done, total),
  });
  progress.done(`${result.tokens} tokens`);
  report(result, output);
}

async function evaluationIds(model: Model, { text, idsFile }: EvalOptions): Promise<Int32Array> {
  if (idsFile !== undefined) return readIdsFile(idsFile);
  return Int32Array.from(model.tokenizer.encode(await readText(text!)));
}

function report(result: Evaluation, output: Output): void {
  if (output.json) {
    output.record(result);
    return;
  }
  const { reference, simulation } = result;
  output.line(`tokens       ${result.tokens}`);
  output.line(`perplexity   ${result.perplexity.toFixed(3)}`);
  if (reference) {
    output.line(`  FP32       ${reference.referencePerplexity.toFixed(3)}`);
    output.line(`KL to FP32   ${reference.kl.toFixed(5)} nats/token`);
    output.line(`top-1 agrees ${(100 * reference.top1Agreement).toFixed(1)} %`);
  }
  if (simulation) {
    output.line(
      `float simulation of the same codes: KL ${simulation.kl.toFixed(5)}, perplexity ${simulation.perplexity.toFixed(3)}`,
    );
  }
  output.line(`speed        ${result.tokensPerSecond.toFixed(0)} tok/s`);
}
