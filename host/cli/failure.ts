import { CommanderError } from "commander";
import { EXIT, LightMambaError } from "../errors.ts";
import type { Output } from "./output.ts";

/** What the file system says, in words a user can act on. Anything else is a defect of ours. */
const FILE_FAULTS: Record<string, string> = {
  EACCES: "no permission",
  EPERM: "not permitted",
  ENOENT: "no such file or directory",
  ENOTDIR: "a part of this path is not a directory",
  EISDIR: "is a directory, expected a file",
  EEXIST: "exists already",
  ENOTEMPTY: "is not empty",
  ENOSPC: "no space left on the disk",
  EROFS: "the file system is read-only",
  EMFILE: "too many open files",
};

function fileFault(error: unknown): LightMambaError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  const what = code === undefined ? undefined : FILE_FAULTS[code];
  if (what === undefined || path === undefined || syscall === undefined) return undefined;
  return new LightMambaError("badInput", what, { file: path });
}

/** Commander's text is `error: what` and, on a line of its own, `(Did you mean x?)`. */
function usageFault(error: CommanderError): LightMambaError {
  const [first = "", ...rest] = error.message.replace(/^error: /, "").split("\n");
  const hint = rest.join(" ").replace(/^\((.*)\)$/, "$1");
  return new LightMambaError("usage", first.replace(/\.$/, ""), { hint: hint === "" ? "add --help for help" : hint });
}

function expected(error: unknown): LightMambaError | undefined {
  if (error instanceof LightMambaError) return error;
  if (error instanceof CommanderError) return usageFault(error);
  return fileFault(error);
}

function debugging(): boolean {
  return process.env.LIGHTMAMBA_DEBUG === "1";
}

/** From a signal handler: what `what` is now. */
export function tellInterrupted(output: Output, what: string, text: string, state: string): void {
  const message = `${what}: interrupted: ${text}`;
  if (output.json)
    output.record({ error: { exit: "interrupted", code: EXIT.interrupted, message, detail: { state } } });
  else output.warn(`\nlightmamba: ${message}`);
}

/** Tells the user what went wrong and returns the exit code. */
export function report(error: unknown, output: Output): number {
  // Help and version end the parsing by an exception too.
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const known = expected(error);
  const exit = known?.exit ?? "bug";
  const text = error instanceof Error ? error.message : String(error);
  // One line, whatever is in the message: file names may hold anything.
  const message = (known?.message ?? `unexpected error: ${text}`).replaceAll(/\s*[\r\n]+\s*/g, " ");
  if (output.json) output.record({ error: { exit, code: EXIT[exit], message, detail: known?.detail ?? {} } });
  else output.warn(`lightmamba: ${message}`);
  if (!output.json && known?.detail.hint !== undefined) output.warn(`hint: ${known.detail.hint}`);
  if (known === undefined && !output.json) {
    output.warn(
      "This is a defect in lightmamba. Please report it with the command you gave and `lightmamba doctor --json`.",
    );
    if (!debugging()) output.warn("hint: LIGHTMAMBA_DEBUG=1 adds the stack");
  }
  if (debugging() && error instanceof Error) output.warn(error.stack ?? "");
  return EXIT[exit];
}
