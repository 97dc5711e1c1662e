#!/usr/bin/env node
import { setImmediate } from "node:timers/promises";
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
  // Ctrl-C reaches whatever we started too: it ends, we fail, and only then hear of the signal ourselves. The first turn of the event loop
  // may be over before it looks for signals.
  await setImmediate();
  await setImmediate();
  // Not process.exit: what is still on its way to a pipe must arrive.
  process.exitCode = report(error, output);
}
