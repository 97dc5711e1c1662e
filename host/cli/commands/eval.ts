import { type Command, Option } from "commander";
import { openCheckpoint } from "../../checkpoint/index.ts";
import { LightMambaError } from "../../errors.ts";
import { type Evaluation, evaluate } from "../../evaluate.ts";
import { readIdsFile } from "../../ids.ts";
import { ladder, type RungResult } from "../../ladder.ts";
import { readModelHeader } from "../../model/description.ts";
import { layerReport } from "../../quantize/errors-by-layer.ts";
import { modelOnDisk } from "../../quantize/simulate.ts";
import { weightsFromCheckpoint } from "../../reference/index.ts";
import { Model } from "../../runtime/model.ts";
import { loadTokenizer, type Tokenizer } from "../../tokenizer/index.ts";
import { defineCommand } from "../command.ts";
import { readText } from "../input.ts";
import { integer } from "../options.ts";
import type { Output } from "../output.ts";
import { phaseProgress } from "../progress.ts";

/** Options of `eval` as commander hands them over; one of `text` and `idsFile` is given. */
export interface EvalOptions {
  text?: string;
  idsFile?: string;
  reference?: string;
  limit?: number;
  simulate?: boolean;
  layers?: boolean;
  ladder?: boolean;
  csv?: boolean;
  calibration?: string;
  threads: number;
}

export function define(output: Output): Command {
  return defineCommand("eval", "Measure perplexity on a text, and KL divergence from the original checkpoint.", [
    ["perplexity on a text", "eval mamba2-130m-w4a4 --text prose.txt"],
    ["and how far the model is from its checkpoint", "eval mamba2-130m-w4a4 --text prose.txt --reference mamba2-130m"],
    ["what each idea of the quantizer buys", "eval mamba2-130m --ladder --text prose.txt --limit 1024"],
    ["the first 256 of some stored token ids", "eval mamba2-130m-w4a4 --ids-file eval.safetensors --limit 256 --json"],
  ])
    .argument("<model>", "quantized model directory; with --ladder a checkpoint")
    .addOption(new Option("--text <file>", "UTF-8 text; - reads standard input").conflicts("idsFile"))
    .option("--ids-file <file>", "safetensors file with a tensor input_ids")
    .option("--reference <checkpoint>", "original checkpoint, run in FP32: adds the KL divergence in nats a token")
    .addOption(
      new Option("--simulate", "with --reference: also the float simulation, to see what the integers cost").conflicts([
        "layers",
        "ladder",
      ]),
    )
    .addOption(new Option("--layers", "with --reference: where the error sits, layer by layer").conflicts(["ladder"]))
    .addOption(
      new Option("--ladder", "the argument is a checkpoint: quantize it with every recipe and compare").conflicts([
        "reference",
      ]),
    )
    .option("--csv", "with --ladder: the table as CSV")
    .option("--calibration <file>", "with --ladder: text to calibrate on")
    .option("--threads <count>", "with --ladder: threads to quantize with", integer({ min: 1, max: 64 }), 2)
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
  if (options.csv === true && options.ladder !== true) {
    throw new LightMambaError("usage", "--csv goes with --ladder", { hint: "add --ladder, or use --json" });
  }
  if (options.ladder === true) return runLadder(directory, options, output);
  const model = Model.load(directory);
  const all = await evaluationIds(() => model.tokenizer, options);
  if (options.layers === true) return runLayers(model, all.subarray(0, options.limit), options, output);
  const progress = output.progress("eval");
  const result = await evaluate(model, all.subarray(0, options.limit), {
    ...(options.reference !== undefined && { reference: options.reference }),
    simulate: options.simulate === true,
    progress: (done, total) => progress.update(done, total),
  });
  progress.done(`${result.tokens} tokens`);
  report(result, output);
}

async function runLadder(checkpoint: string, options: EvalOptions, output: Output): Promise<void> {
  const ids = await evaluationIds(() => loadTokenizer(checkpoint), options);
  const phases = phaseProgress(output);
  const row = ({ name, bitsPerWeight, bytes, perplexity, kl, seconds }: RungResult) =>
    `${name.padEnd(66)}${bitsPerWeight.toFixed(2).padStart(6)}${(bytes / 1e6).toFixed(2).padStart(9)}` +
    `${perplexity.toFixed(3).padStart(10)}${kl.toFixed(5).padStart(10)}${seconds.toFixed(0).padStart(7)}`;
  const csv = ({ name, bitsPerWeight, bytes, perplexity, kl, seconds }: RungResult) =>
    [JSON.stringify(name), bitsPerWeight, bytes, perplexity, kl, seconds].join(",");
  const table = !output.json && options.csv !== true;
  if (table) output.line(`${"recipe".padEnd(66)}bits/w       MB       ppl        KL      s`);
  if (options.csv === true) output.line("recipe,bits_per_weight,bytes,perplexity,kl,seconds");
  const result = await ladder(checkpoint, ids.subarray(0, options.limit), {
    ...(options.calibration !== undefined && { calibrationFile: options.calibration }),
    threads: options.threads,
    see: (rung) => output.json || output.line(options.csv === true ? csv(rung) : row(rung)),
    progress: (rung, phase, done, total) => phases.update(`${rung}: ${phase}`, done, total),
  });
  phases.done();
  if (output.json) output.record(result);
  else if (table) output.line(`FP32: perplexity ${result.referencePerplexity.toFixed(3)} on ${result.tokens} tokens`);
}

function runLayers(model: Model, ids: Int32Array, options: EvalOptions, output: Output): void {
  if (options.reference === undefined) {
    throw new LightMambaError("usage", "--layers needs the checkpoint", { hint: "add --reference <checkpoint>" });
  }
  const plain = weightsFromCheckpoint(openCheckpoint(options.reference));
  const progress = output.progress("layers");
  const report = layerReport(plain, modelOnDisk(readModelHeader(model.dir)), model.description, ids, progress.update);
  progress.done();
  if (output.json) {
    output.record(report);
    return;
  }
  const decibels = (values: number[]) =>
    values
      .map((value) => value.toFixed(1).padStart(6))
      .join("")
      .padEnd(14);
  output.line("layer         KL alone   weights dB    activations dB (in_proj, out_proj)");
  for (const { name, weightDb, activationDb, kl } of report) {
    output.line(`${name.padEnd(12)}${kl.toFixed(5).padStart(10)}   ${decibels(weightDb)}${decibels(activationDb)}`);
  }
}

async function evaluationIds(tokenizer: () => Tokenizer, { text, idsFile }: EvalOptions): Promise<Int32Array> {
  if (idsFile !== undefined) return readIdsFile(idsFile);
  return Int32Array.from(tokenizer().encode(await readText(text!)));
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
