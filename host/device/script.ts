/** Build scripts of the repository, for what is built when it is first needed. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { packageRoot } from "../package.ts";

export interface BuildOptions {
  /** Told when it will take long. */
  say?: ((text: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Exit code of build scripts: a program that they need is not there; their last words say which. */
export const PROGRAM_MISSING = 3;

/** The package does not have them. */
export function hasScript(script: string): boolean {
  return existsSync(join(packageRoot(), script));
}

/** Exit code, standard output, and the last line of standard error, which `say` hears as it comes. */
export function runScript(
  script: string,
  args: readonly string[],
  { say, signal }: BuildOptions = {},
): Promise<{ code: number | null; stdout: string; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(packageRoot(), script), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      ...(signal ? { signal } : {}),
    });
    let [stdout, text] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
    });
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (line.trim() === "") return;
      say?.(line);
      text = line;
    });
    child.on("error", (error) => resolve({ code: null, stdout, text: error.message }));
    child.on("close", (code) => resolve({ code, stdout, text }));
  });
}
