import type { Command } from "commander";
import { LightMambaError } from "../../errors.ts";
import { defineCommand } from "../command.ts";
import type { Output } from "../output.ts";

export function define(output: Output): Command {
  return defineCommand("inspect", "Show what is in a checkpoint or a quantized model directory.", [
    ["shapes, sizes and where they come from", "inspect mamba2-130m"],
    ["how a quantized model was made, for a program", "inspect mamba2-130m-w4a4 --json"],
  ])
    .argument("<dir>", "checkpoint or model directory")
    .action((dir: string) => inspect(dir, output));
}

async function inspect(_dir: string, _output: Output): Promise<void> {
  throw new LightMambaError("unsupported", "inspect is not connected yet");
}
