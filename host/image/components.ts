/** What an image is made of beside a model: built by the scripts of firmware/, or taken from their cache. */
import { hasScript, PROGRAM_MISSING, runScript } from "../device/script.ts";
import { LightMambaError } from "../errors.ts";

/** An entry of components.json, as firmware/system and firmware/runner describe what they built. */
export interface Component {
  name: string;
  version: string;
  /** SPDX expression. */
  licence: string;
  source: string;
  files: string[];
  sha256: string;
}

/** firmware/system/build.mjs. */
export interface SystemFiles {
  folder: string;
}

/** firmware/runner/build.mjs. */
export interface RunnerFiles {
  runner: string;
  cwasm: Record<string, string>;
  components: Component[];
}

export interface StepOptions {
  say?: (text: string) => void;
  signal?: AbortSignal | undefined;
  /** A file for what programs say. */
  log?: string;
}

const SYSTEM_SCRIPT = "firmware/system/build.mjs";

/** Whether the sources of the board's software are here, which the package does not have. */
export function hasSystem(): boolean {
  return hasScript(SYSTEM_SCRIPT);
}

export function buildSystem(board: string, options: StepOptions): Promise<SystemFiles> {
  return runBuild<SystemFiles>(SYSTEM_SCRIPT, ["--board", board], options);
}

export function buildRunner(options: StepOptions): Promise<RunnerFiles> {
  return runBuild<RunnerFiles>("firmware/runner/build.mjs", ["--target", "aarch64"], options);
}

/** A build script that prints one line of JSON; what it says meanwhile is passed on. */
async function runBuild<T>(script: string, args: string[], { say, signal }: StepOptions): Promise<T> {
  if (!hasScript(script)) {
    throw new LightMambaError("prerequisite", "the sources of the board's software are not part of the package", {
      file: script,
      hint: "clone the repository, and run it there",
    });
  }
  const { code, stdout, text } = await runScript(script, args, { say, signal });
  if (code === 0) return JSON.parse(stdout.trim().split("\n").at(-1)!) as T;
  const exit = code === PROGRAM_MISSING ? "prerequisite" : "bug";
  throw new LightMambaError(exit, `cannot be built: ${text}`, { file: script });
}
