/** Runs other people's programs: finds them, keeps their output in a log, and says what is missing. */

import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { dirname } from "node:path";
import { LightMambaError } from "../../host/errors.ts";

/** Lines of a log that are shown when its program fails. */
const SHOWN_LINES = 15;
const MOST_OUTPUT = 256 * 2 ** 20;

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The first of `names` that answers to --version. */
export function findProgram(names: readonly string[], what: string, hint: string): string {
  for (const name of names) {
    if (spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0) return name;
  }
  throw new LightMambaError("prerequisite", `${what} is missing`, { expected: names.join(" or "), hint });
}

/** The first line a program says of itself. */
export function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
  return stdout?.split("\n")[0]?.trim() ?? "unknown";
}

/** Runs a program to its end; what it says goes straight to `log`, where a long one can be watched. */
export function runProgram(program: string, args: readonly string[], log: string): void {
  withLog(program, args, log, (file) => spawnSync(program, args, { stdio: ["ignore", file, file] }));
}

/** Runs a program to its end and returns its standard output; the rest goes to `log`. */
export function readProgram(program: string, args: readonly string[], log: string): string {
  const options = { encoding: "utf8", maxBuffer: MOST_OUTPUT } as const;
  let output = "";
  withLog(program, args, log, (file) => {
    const ended = spawnSync(program, args, { ...options, stdio: ["ignore", "pipe", file] });
    output = ended.stdout ?? "";
    // An error may have been the output.
    writeSync(file, output);
    return ended;
  });
  return output;
}

type Ended = Pick<SpawnSyncReturns<unknown>, "status" | "signal" | "error">;

function withLog(program: string, args: readonly string[], log: string, run: (file: number) => Ended): void {
  mkdirSync(dirname(log), { recursive: true });
  const file = openSync(log, "a");
  try {
    writeSync(file, `$ ${[program, ...args].join(" ")}\n`);
    checkEnd(program, run(file), log);
  } finally {
    closeSync(file);
  }
}

function checkEnd(program: string, { status, signal, error }: Ended, log: string): void {
  // Ctrl-C went to the child as well: we end as it did.
  if (signal === "SIGINT" || signal === "SIGTERM") process.exit(128 + constants.signals[signal]);
  if (error !== undefined) {
    throw new LightMambaError("prerequisite", `cannot start ${program}: ${error.message}`, { file: log });
  }
  if (status === 0) return;
  say(readFileSync(log, "utf8").trimEnd().split("\n").slice(-SHOWN_LINES).join("\n"));
  const ended = status === null ? `ended by ${signal}` : `exit code ${status}`;
  throw new LightMambaError("prerequisite", `${program} failed: ${ended}`, { hint: `all it said is in ${log}` });
}
