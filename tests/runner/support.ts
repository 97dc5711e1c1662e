/** The board's program, built for this machine and for the board. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { prepareBoardModel } from "../../host/board/prepare.ts";
import { build, ROOT } from "../firmware.ts";

export const MODEL = join(ROOT, "models/tiny-w4a4");

export type Target = "native" | "aarch64";

interface Built {
  skip: string | false;
  runner: string;
  /** Folder of compiled runtimes. */
  runtime: string;
}

const built = new Map<Target, Built>();

/** Builds it, which takes minutes once; or why it cannot be, for the option `skip`. */
export function runnerFor(target: Target): Built {
  const known = built.get(target) ?? builtFor(target);
  built.set(target, known);
  return known;
}

function builtFor(target: Target): Built {
  const { stdout, skip } = build("firmware/runner/build.mjs", "--target", target);
  if (skip !== false) return { skip, runner: "", runtime: "" };
  const { runner, cwasm } = JSON.parse(stdout) as { runner: string; cwasm: { relaxed: string } };
  return { skip, runner, runtime: dirname(cwasm.relaxed) };
}

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  target?: Target;
  stdin?: string | Buffer;
  /** Other than the target's own. */
  runtime?: string;
}

/** The program for the board runs on the emulated processor, which refuses every instruction that the A72 does not have. */
function commandOf(target: Target, args: readonly string[]): [program: string, args: string[]] {
  const { runner } = runnerFor(target);
  return target === "native" ? [runner, [...args]] : ["qemu-aarch64-static", ["-cpu", "cortex-a72", runner, ...args]];
}

export function run(args: readonly string[], { target = "native", stdin = "", runtime }: RunOptions = {}): Ended {
  const [program, all] = commandOf(target, args);
  const env = { ...process.env, LIGHTMAMBA_RUNTIME: runtime ?? runnerFor(target).runtime };
  const { status, stdout, stderr, error } = spawnSync(program, all, { env, input: stdin, encoding: "utf8" });
  if (error) throw error;
  return { code: status, stdout, stderr };
}

/** For what goes on while a test does something else. */
export function start(args: readonly string[]): ChildProcess {
  const [program, all] = commandOf("native", args);
  const env = { ...process.env, LIGHTMAMBA_RUNTIME: runnerFor("native").runtime };
  return spawn(program, all, { env, stdio: ["pipe", "pipe", "pipe"] });
}

/** The embedded model as a board has it. */
export function boardModel(folder: string, variant: "relaxed" | "plain" = "relaxed"): string {
  const dir = join(folder, `model-${variant}`);
  prepareBoardModel(MODEL, dir, { board: "qemu", variant });
  return dir;
}
