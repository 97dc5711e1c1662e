/** What tests of firmware/ share: its build scripts, programs that a machine may lack, and folders. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { programEnvironment } from "../host/image/programs.ts";

export const ROOT = join(import.meta.dirname, "..");
/** Exit code of build scripts where a program that they need is not there; their last words say which. */
const MISSING = 3;
const MOST_OUTPUT = 2 ** 26;

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** A script of firmware/ and its arguments, whatever becomes of it. */
export function runScript(...args: string[]): Outcome {
  const { error, ...outcome } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  if (error) throw error;
  return outcome;
}

/** What a build printed, or why tests of it must be skipped. One that fails is an error. */
export function build(...args: string[]): { stdout: string; skip: string | false } {
  const { status, stdout, stderr } = runScript(...args);
  if (status === MISSING) return { stdout, skip: stderr.trim().split("\n").at(-1) ?? "" };
  if (status !== 0) throw new Error(`${args.join(" ")}: exit code ${status}\n${stderr}`);
  return { stdout, skip: false };
}

/** What a program printed. One that fails is an error. */
export function run(program: string, ...args: string[]): string {
  const options = { env: programEnvironment(), encoding: "utf8", maxBuffer: MOST_OUTPUT } as const;
  const { status, stdout, stderr, error } = spawnSync(program, args, options);
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? `${stdout}${stderr}`}`);
  return stdout;
}

/** Why tests with this program must be skipped. */
export function withoutProgram(program: string, version = "--version"): string | false {
  const { error } = spawnSync(program, [version], { env: programEnvironment() });
  return error ? `no ${program} (firmware/tools/install.sh installs it)` : false;
}

/** Gone after the tests of the file. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-firmware-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
