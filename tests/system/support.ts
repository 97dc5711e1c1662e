/** Builds of firmware/system, and its modules, which are plain JavaScript so that any Node runs them. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { pathToFileURL } from "node:url";

const ROOT = join(import.meta.dirname, "..", "..");
export const SYSTEM = join(ROOT, "firmware", "system");
const MISSING = 3;

export interface Range {
  name: string;
  address: number;
  bytes: number;
  reserved: boolean;
}

export interface DeviceTree {
  rangesOf(board: string): Range[];
  buildDeviceTree(board: string, folder: string): string;
}

export interface Scripts {
  uBootAddresses(binary: Buffer): Record<string, number>;
  checkAddresses(addresses: Record<string, number>, sizes: Record<string, number>, ranges: readonly Range[]): void;
  rootPartition(layout?: string): string;
}

export interface Kernel {
  dependenciesOf(module: Buffer): string[];
  withDependencies(modules: readonly string[], byName: ReadonlyMap<string, string>): string[];
}

/** A module of firmware/system by its name. */
export function load<T>(name: string): Promise<T> {
  return import(pathToFileURL(join(SYSTEM, `${name}.mjs`)).href);
}

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export function buildSystem(...args: string[]): Outcome {
  const options = { cwd: ROOT, encoding: "utf8" } as const;
  const { error, ...outcome } = spawnSync(process.execPath, ["firmware/system/build.mjs", ...args], options);
  if (error) throw error;
  return outcome;
}

/** The folder of a board's system, or the reason why there is none. A build that fails is an error. */
export function systemOf(board: string): { folder: string; skip: false } | { folder: ""; skip: string } {
  const { status, stdout, stderr } = buildSystem("--board", board);
  if (status === MISSING) return { folder: "", skip: stderr.trim().split("\n").at(-1) ?? "" };
  if (status !== 0) throw new Error(`firmware/system/build.mjs --board ${board}: exit code ${status}\n${stderr}`);
  return { folder: (JSON.parse(stdout) as { folder: string }).folder, skip: false };
}

/** Why tests with this program must be skipped. */
export function withoutProgram(program: string): string | false {
  const { error } = spawnSync(program, ["--help"]);
  return error ? `no ${program} (firmware/tools/install.sh installs it)` : false;
}

/** A folder that is gone after the tests of the file. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-system-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
