import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  stdin?: string;
  env?: NodeJS.ProcessEnv;
  /** Default: the sources. */
  main?: string;
  cwd?: string;
  onStart?(child: ChildProcess): void;
  /** Called when the first text arrives. */
  onStdout?(child: ChildProcess): void;
  /** Sees standard error as it comes. */
  onStderr?(all: string, child: ChildProcess): void;
}

const ROOT = join(import.meta.dirname, "../..");
/** What the tests must not inherit from the terminal or the CI they run in. */
const NEUTRAL = { NO_COLOR: undefined, FORCE_COLOR: undefined, LIGHTMAMBA_DEBUG: undefined };

/** Runs the command line as a user would, from its sources. */
export function lightmamba(args: string[], options: RunOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...NEUTRAL, ...options.env };
    const main = options.main ?? join(ROOT, "host/cli/main.ts");
    const child = spawn(process.execPath, [main, ...args], { env, cwd: options.cwd ?? ROOT });
    options.onStart?.(child);
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (stdout === "") options.onStdout?.(child);
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      options.onStderr?.(stderr, child);
    });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    child.stdin.on("error", () => {}).end(options.stdin ?? "");
  });
}

/** What it writes on standard output, without remarks; it must end well. */
export async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await lightmamba([...args, "-q"]);
  assert.equal(code, 0, `lightmamba ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** The same as it is shipped: compiled. */
export function built(args: string[], options: RunOptions = {}): Promise<Ended> {
  return lightmamba(args, { main: join(ROOT, "build/js/host/cli/main.js"), ...options });
}
