/** Runs other programs. What they say goes to a log, and the last of it into the error where one fails. */
import { type SpawnOptions, spawn } from "node:child_process";
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { LightMambaError } from "../errors.ts";

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  /** A descriptor that the program has as 3. */
  fd?: number;
  /** A file to which commands and what they say are added. */
  log?: string | undefined;
}

/** Where Debian has mke2fs and mkfs.vfat, which is not in everyone's path. */
const SYSTEM_PROGRAMS = "/usr/sbin:/sbin";
/** Lines of a program that failed which go into the error. */
const LAST_LINES = 6;

/** What images need beside the compilers of firmware/. */
const PROGRAMS = [
  ...[
    "bootgen",
    "cp",
    "debugfs",
    "dumpe2fs",
    "e2fsck",
    "genimage",
    "mcopy",
    "mke2fs",
    "mkfs.vfat",
    "mksquashfs",
    "mtype",
  ],
  ...["qemu-system-aarch64", "setpriv", "unsquashfs"],
];

export function missingPrograms(): string[] {
  const folders = `${process.env.PATH}:${SYSTEM_PROGRAMS}`.split(":");
  return PROGRAMS.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
}

/** Its output, and what it said besides. Throws `prerequisite` where the program is missing, else `bug` with its last words. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, spawnOptions(options));
    const said = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name]!.setEncoding("utf8").on("data", (chunk: string) => {
        said[name] += chunk;
      });
    }
    child.on("error", (error: NodeJS.ErrnoException) => reject(startFailure(program, error)));
    child.on("close", (code, signal) => {
      const all = said.stdout + said.stderr;
      if (options.log !== undefined) appendFileSync(options.log, `$ ${program} ${args.join(" ")}\n${all}`);
      if (code === 0) resolve(said);
      else reject(programFailure(program, code ?? signal ?? "?", all));
    });
  });
}

/** The same messages, and the same times on FAT, wherever this runs. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:${SYSTEM_PROGRAMS}`, LC_ALL: "C", TZ: "UTC" };
}

function spawnOptions({ cwd, env, signal, fd }: RunOptions): SpawnOptions {
  return {
    stdio: ["ignore", "pipe", "pipe", ...(fd === undefined ? [] : [fd])],
    ...(cwd === undefined ? {} : { cwd }),
    // Whoever aborts removes what it writes, at once
    ...(signal === undefined ? {} : { signal, killSignal: "SIGKILL" }),
    env: { ...programEnvironment(), ...env },
  };
}

/** That it ran, and ended badly; what is thrown where it is missing is another matter. */
export function isProgramFailure(error: unknown): error is LightMambaError {
  return error instanceof LightMambaError && error.exit === "bug";
}

export function startFailure(program: string, error: NodeJS.ErrnoException): LightMambaError {
  if (error.code !== "ENOENT") return new LightMambaError("bug", `${program}: ${error.message}`);
  return new LightMambaError("prerequisite", `no ${program}`, { hint: "firmware/tools/install.sh installs it" });
}

export function programFailure(program: string, end: number | string, said: string): LightMambaError {
  const words = said.trim().split("\n").slice(-LAST_LINES).join("\n  ");
  return new LightMambaError("bug", `${program} ended with ${end}${words === "" ? "" : `:\n  ${words}`}`);
}
