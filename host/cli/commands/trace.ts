import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { LightMambaError } from "../../errors.ts";
import { readIdsFile } from "../../ids.ts";
import { trace, writeTrace } from "../../trace.ts";
import { defineCommand } from "../command.ts";
import { idList } from "../options.ts";
import type { Output } from "../output.ts";

/** Options of `trace` as commander hands them over; one of `ids` and `idsFile` is given. */
export interface TraceOptions {
  ids?: number[];
  idsFile?: string;
  output: string;
  force?: boolean;
}

export function define(output: Output): Command {
  return defineCommand(
    "trace",
    "Run token ids through a checkpoint in FP32, or through a quantized model, and write logits and hidden states in FP32 and the original basis: for comparison with any other implementation.",
    [
      ["three tokens through a checkpoint in FP32", "trace mamba2-130m --ids 47,1307,586 -o trace.safetensors"],
      [
        "the tokens of a text through a quantized model",
        'trace mamba2-130m-w4a4 --ids "$(lightmamba tokenize --ids Hello)" -o trace.safetensors',
      ],
    ],
  )
    .argument("<dir>", "checkpoint (runs in FP32) or quantized model directory")
    .addOption(new Option("--ids <list>", "token ids, as in 1,2,3").argParser(idList).conflicts("idsFile"))
    .option("--ids-file <file>", "safetensors file with a tensor input_ids")
    .requiredOption("-o, --output <file>", "safetensors file to write")
    .option("-f, --force", "replace the output file if it exists")
    .action((dir: string, options: TraceOptions) => run(dir, options, output));
}

async function run(dir: string, options: TraceOptions, output: Output): Promise<void> {
  if (options.ids === undefined && options.idsFile === undefined) {
    throw new LightMambaError("usage", "no tokens to trace", { hint: "give --ids 1,2,3 or --ids-file <file>" });
  }
  if (existsSync(options.output) && options.force !== true) {
    throw new LightMambaError("usage", "the output exists", {
      file: options.output,
      hint: "add --force to replace it",
    });
  }
  const ids = options.idsFile === undefined ? Int32Array.from(options.ids!) : readIdsFile(options.idsFile);
  const result = trace(dir, ids);
  writeTrace(options.output, result);
  const { logits, hiddenStates, vocab, dModel } = result;
  const shapes = {
    tokens: ids.length,
    logits: [logits.length / vocab, vocab],
    hidden_states: [hiddenStates.length / ids.length / dModel, ids.length, dModel],
  };
  if (output.json) output.record({ file: options.output, ...shapes });
  else output.line(`${options.output}: logits [${shapes.logits}], hidden_states [${shapes.hidden_states}]`);
}
