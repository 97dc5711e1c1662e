import { spawn } from "node:child_process";

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** What the tests must not inherit from the terminal or the CI they run in. */
const NEUTRAL = { NO_COLOR: undefined, FORCE_COLOR: undefined, LIGHTMAMBA_DEBUG: undefined };

/** Runs the command line as a user would, from its sources. */
export function lightmamba(args: string[], options: { stdin?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...NEUTRAL, ...options.env };
    const child = spawn(process.execPath, ["host/cli/main.ts", ...args], { env });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    child.stdin.on("error", () => {}).end(options.stdin ?? "");
  });
}
