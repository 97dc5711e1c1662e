/** Build scripts of the repository, for what is built when it is first needed. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../package.ts";

export interface BuildOptions {
  /** Told when it will take long. */
  say?: (text: string) => void;
  signal?: AbortSignal;
}

/** Exit code of build scripts: a program that they need is not there; their last words say which. */
export const PROGRAM_MISSING = 3;

/** The package does not have them. */
export function hasScript(script: string): boolean {
  return existsSync(join(packageRoot(), script));
}

/** Exit code and last words. */
export function runScript(
  script: string,
  argument: string,
  signal: AbortSignal | undefined,
): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(packageRoot(), script), argument], {
      stdio: ["ignore", "ignore", "pipe"],
      ...(signal ? { signal } : {}),
    });
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    child.on("error", (error) => resolve({ code: null, text: error.message }));
    child.on("close", (code) => resolve({ code, text: text.trim().split("\n").at(-1) ?? "" }));
  });
}
