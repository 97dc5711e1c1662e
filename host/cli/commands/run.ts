import { type Command, Option } from "commander";
import { LightMambaError } from "../../errors.ts";
import { defineCommand } from "../command.ts";
import { textInput } from "../input.ts";
import { collect, decimal, integer, oneOf } from "../options.ts";
import type { Output } from "../output.ts";
import { EMBEDDED_MODEL, modelDir } from "../paths.ts";

/** Options of `run` as commander hands them over. */
export interface RunOptions {
  model: string;
  promptFile?: string;
  tokens: number;
  seed?: number;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  greedy?: boolean;
  stop?: string[];
  device: "wasm";
  saveState?: string;
  loadState?: string;
}

export function define(output: Output): Command {
  return defineCommand("run", "Generate text with a quantized model.", [
    ["write a story with the embedded model", 'run "Once upon a time"'],
    ["the same story again, on any machine", 'run "Once upon a time" --seed 3 --tokens 100'],
    ["the likeliest continuation of a file", "run --prompt-file letter.txt --greedy --model my-model-w4a4"],
    ["go on where an earlier run ended", "run --load-state story.state --save-state story.state"],
    ["for programs: one JSON object a token, then a summary", 'run "Hello" --json'],
  ])
    .argument("[prompt]", "text to continue; - reads standard input")
    .option("-m, --model <dir>", "model directory", EMBEDDED_MODEL)
    .option("--prompt-file <file>", "read the prompt from a file")
    .option("-n, --tokens <count>", "how many tokens to generate at most", integer({ min: 0, max: 1 << 24 }), 256)
    .option(
      "--seed <number>",
      "seed of the sampler; the same seed gives the same text",
      integer({ min: 0, max: 0xffff_ffff }),
    )
    .option("--temperature <number>", "0 is greedy; higher is wilder", decimal({ min: 0, max: 100 }), 0.8)
    .option("--top-k <count>", "sample from the k likeliest tokens; 0 = all", integer({ min: 0, max: 1 << 24 }), 0)
    .option(
      "--top-p <number>",
      "sample from the likeliest tokens that make up p",
      decimal({ min: 0, above: true, max: 1 }),
      0.95,
    )
    .option("--min-p <number>", "drop tokens less likely than p times the likeliest", decimal({ min: 0, max: 1 }), 0)
    .option(
      "--repetition-penalty <number>",
      "divide the logits of seen tokens; 1 = off",
      decimal({ min: 0, above: true, max: 10 }),
      1,
    )
    .option(
      "--presence-penalty <number>",
      "subtract from the logits of seen tokens; 0 = off",
      decimal({ min: -10, max: 10 }),
      0,
    )
    .option(
      "--frequency-penalty <number>",
      "the same for each time it was seen; 0 = off",
      decimal({ min: -10, max: 10 }),
      0,
    )
    .addOption(new Option("--greedy", "always take the likeliest token").conflicts(["seed"]))
    .option("--stop <text...>", "end when the model has written one of these texts", collect)
    .option("--device <name>", "where to compute: wasm", oneOf("--device", ["wasm"], ["rtl", "board"]), "wasm")
    .option("--save-state <file>", "write the model's state after the last token")
    .option("--load-state <file>", "go on from a saved state")
    .action((prompt: string | undefined, options: RunOptions) => run(prompt, options, output));
}

async function run(argument: string | undefined, options: RunOptions, _output: Output): Promise<void> {
  await textInput(argument, options.promptFile);
  throw new LightMambaError("unsupported", `run is not connected yet (model ${modelDir(options.model)})`);
}
