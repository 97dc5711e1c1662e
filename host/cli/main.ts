#!/usr/bin/env node
import { report } from "./failure.ts";
import { installSignalHandlers } from "./interrupt.ts";
import { createOutput, readFlags } from "./output.ts";
import { execute } from "./program.ts";

const args = process.argv.slice(2);
const output = createOutput(readFlags(args));
installSignalHandlers();
try {
  await execute(output, args);
} catch (error) {
  // Not process.exit: what is still on its way to a pipe must arrive.
  process.exitCode = report(error, output);
}
