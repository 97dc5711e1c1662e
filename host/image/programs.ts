/** Runs other programs: what they say is kept, and shown only where one fails. */
import { spawn } from "node:child_process";
import { LightMambaError } from "../errors.ts";

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
}

/** Where Debian has mke2fs and mkfs.vfat, which is not in everyone's path. */
const SYSTEM_PROGRAMS = "/usr/sbin:/sbin";
/** Lines of a program that failed which go into the error. */
const LAST_LINES = 6;

/** Standard output as text. Throws `prerequisite` where the program is missing, else `exit` with its last words. */
export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      env: { ...process.env, PATH: `${process.env.PATH}:${SYSTEM_PROGRAMS}`, LC_ALL: "C", ...options.env },
    });
    let out = "";
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      out += chunk;
      said += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
    });
    child.on("error", (error: NodeJS.ErrnoException) => reject(startFailure(program, error)));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(out);
      else reject(programFailure(program, code ?? signal ?? "?", said));
    });
  });
}

function startFailure(program: string, error: NodeJS.ErrnoException): LightMambaError {
  if (error.code !== "ENOENT") return new LightMambaError("bug", `${program}: ${error.message}`);
  return new LightMambaError("prerequisite", `no ${program}`, { hint: "firmware/tools/install.sh installs it" });
}

function programFailure(program: string, end: number | string, said: string): LightMambaError {
  const words = said.trim().split("\n").slice(-LAST_LINES).join("\n  ");
  return new LightMambaError("bug", `${program} ended with ${end}${words === "" ? "" : `:\n  ${words}`}`);
}
