import { type Command, Option } from "commander";
import { LightMambaError } from "../../errors.ts";
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
    "Record the integers that go in and out of every unit, to compare other devices with.",
    [
      ["three tokens", "trace mamba2-130m-w4a4 --ids 47,1307,586 -o trace.safetensors"],
      ["the tokens of a text", 'trace my-model --ids "$(lightmamba tokenize --ids Hello)" -o trace.safetensors'],
    ],
  )
    .argument("<model>", "quantized model directory")
    .addOption(new Option("--ids <list>", "token ids, as in 1,2,3").argParser(idList).conflicts("idsFile"))
    .option("--ids-file <file>", "safetensors file with one tensor of token ids")
    .requiredOption("-o, --output <file>", "safetensors file to write")
    .option("-f, --force", "replace the output file if it exists")
    .action((model: string, options: TraceOptions) => trace(model, options, output));
}

async function trace(_model: string, options: TraceOptions, _output: Output): Promise<void> {
  if (options.ids === undefined && options.idsFile === undefined) {
    throw new LightMambaError("usage", "no tokens to trace", { hint: "give --ids 1,2,3 or --ids-file <file>" });
  }
  throw new LightMambaError("unsupported", "trace is not connected yet");
}
