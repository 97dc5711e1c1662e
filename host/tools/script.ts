/** What programs for developers share: how they read their options, and how they end. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { EXIT, LightMambaError } from "../errors.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;

/** As parseArgs reads them; what it does not know is the user's fault. */
export function readScriptOptions<const T extends Options>(
  args: string[],
  options: T,
): ReturnType<typeof parseArgs<{ args: string[]; options: T }>>["values"] {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new LightMambaError("usage", (error as Error).message, { hint: "--help shows the options" });
  }
}

/** Runs `main`; a fault that a user can cause becomes a message, a hint and an exit code. */
export async function runScript(name: string, main: () => void | Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof LightMambaError)) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    if (error.detail.hint !== undefined) process.stderr.write(`hint: ${error.detail.hint}\n`);
    process.exitCode = EXIT[error.exit];
  }
}
