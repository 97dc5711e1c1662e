/** Builds of firmware/system, and its modules, which are plain JavaScript so that any Node runs them. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Outcome, ROOT, runScript } from "../firmware.ts";

export const SYSTEM = join(ROOT, "firmware", "system");

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
  diskSignature(layout?: string): string;
}

export interface Kernel {
  dependenciesOf(module: Buffer): string[];
  withDependencies(modules: readonly string[], byName: ReadonlyMap<string, string>): string[];
}

/** A module of firmware/system by its name. */
export function load<T>(name: string): Promise<T> {
  return import(pathToFileURL(join(SYSTEM, `${name}.mjs`)).href);
}

export function buildSystem(...args: string[]): Outcome {
  return runScript("firmware/system/build.mjs", ...args);
}

/** The folder of a board's system, or the reason why there is none. A build that fails is an error. */
export function systemOf(board: string): { folder: string; skip: string | false } {
  const { stdout, skip } = build("firmware/system/build.mjs", "--board", board);
  return { folder: skip === false ? (JSON.parse(stdout) as { folder: string }).folder : "", skip };
}
