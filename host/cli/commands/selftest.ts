import type { Command } from "commander";
import { LightMambaError } from "../../errors.ts";
import { selftest } from "../../selftest.ts";
import { defineCommand } from "../command.ts";
import { addBoardOptions, type BoardOptions, openAny } from "../device.ts";
import { onInterrupt } from "../interrupt.ts";
import { oneOf } from "../options.ts";
import type { Output } from "../output.ts";

interface SelftestOptions extends BoardOptions {
  device: "rtl" | "board";
}

export function define(output: Output): Command {
  const command = defineCommand("selftest", "Check that a device computes what WebAssembly does.", [
    ["the accelerator on a board", "selftest --device board --uio /dev/uio0"],
    ["the accelerator's RTL in simulation", "selftest --device rtl"],
  ]).requiredOption("--device <name>", "which device: rtl or board", oneOf(["rtl", "board"]));
  return addBoardOptions(command).action((options: SelftestOptions) => run(options, output));
}

async function run(options: SelftestOptions, output: Output): Promise<void> {
  for (const name of ["uio", "memory"] as const) {
    if (options[name] === undefined || options.device === "board") continue;
    throw new LightMambaError("usage", "this is about a board", { field: `--${name}`, hint: "add --device board" });
  }
  const { device, close } = await openAny(options.device, options, output);
  const release = onInterrupt(close);
  try {
    for (const step of selftest(device)) {
      if (output.json) output.record(step);
      else output.line(`${output.style("green", "ok")}    ${step.name}: ${step.text}`);
    }
  } finally {
    release();
    close();
  }
}
