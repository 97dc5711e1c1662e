/** How programs for developers end. */
import { EXIT, LightMambaError } from "../errors.ts";

/** Runs `main`; a fault that a user can cause becomes a message, a hint and an exit code. */
export function runScript(name: string, main: () => void): void {
  try {
    main();
  } catch (error) {
    if (!(error instanceof LightMambaError)) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    if (error.detail.hint !== undefined) process.stderr.write(`hint: ${error.detail.hint}\n`);
    process.exitCode = EXIT[error.exit];
  }
}
