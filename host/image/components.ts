/** What an image is made of beside a model: built by the scripts of firmware/, or taken from their cache. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { PROGRAM_MISSING } from "../device/script.ts";
import { LightMambaError } from "../errors.ts";
import { packageRoot } from "../package.ts";

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
}

export function buildSystem(board: string, options: StepOptions): Promise<SystemFiles> {
  return runBuild<SystemFiles>("firmware/system/build.mjs", ["--board", board], options);
}

export function buildRunner(options: StepOptions): Promise<RunnerFiles> {
  return runBuild<RunnerFiles>("firmware/runner/build.mjs", ["--target", "aarch64"], options);
}

/** A build script that prints one line of JSON; what it says meanwhile is passed on. */
function runBuild<T>(script: string, args: string[], { say, signal }: StepOptions): Promise<T> {
  const path = join(packageRoot(), script);
  if (!existsSync(path)) {
    throw new LightMambaError("prerequisite", "the sources of the board's software are not part of the package", {
      file: script,
      hint: "clone the repository, and run it there",
    });
  }
  return new Promise((resolve, reject) => {
    const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"];
    const child = spawn(process.execPath, [path, ...args], { stdio, ...(signal === undefined ? {} : { signal }) });
    let out = "";
    let last = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      out += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      for (const line of chunk.trimEnd().split("\n")) say?.(line);
      last = chunk.trimEnd().split("\n").at(-1) ?? "";
    });
    child.on("error", (error) => reject(new LightMambaError("bug", error.message, { file: script })));
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(out.trim().split("\n").at(-1)!) as T);
      else
        reject(
          new LightMambaError(code === PROGRAM_MISSING ? "prerequisite" : "bug", `cannot be built: ${last}`, {
            file: script,
          }),
        );
    });
  });
}
