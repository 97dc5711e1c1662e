/** The accelerator's own RTL as a process (firmware/rtl/sim/accelerator.cpp) on a file that both share. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, fstatSync, readFileSync, readSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REGISTER_PAGE } from "../../assembly/device.generated.ts";
import { LightMambaError } from "../errors.ts";
import { packageRoot } from "../package.ts";
import { BOARDS } from "./boards.generated.ts";
import { Device, type DeviceOptions } from "./device.ts";
import { DeviceMemory, type Region, unnamedFile } from "./memory.ts";
import { type BuildOptions, hasScript, PROGRAM_MISSING, runScript } from "./script.ts";

export type BoardName = keyof typeof BOARDS;

/** What this needs to know of a board, without the literal types of the generated table. */
export interface Board {
  readonly clock_mhz: number;
  readonly registers: { readonly address: number };
  readonly memories: readonly {
    readonly name: string;
    readonly address: number;
    readonly bytes: number;
    readonly gigabytes_per_second: number;
    readonly efficiency: number;
    readonly latency_ns: number;
  }[];
  readonly ports: readonly {
    readonly memory: string;
    readonly gigabytes_per_second: number;
    readonly outstanding: number;
  }[];
}

/** Memories that have ports, in the order in which ports use them first. */
export function memoriesInUse(board: Board): Board["memories"] {
  const names = [...new Set(board.ports.map(({ memory }) => memory))];
  return names.map((name) => board.memories.find((memory) => memory.name === name)!);
}

export interface SimulatorOptions extends DeviceOptions {
  /** Name of a build of firmware/rtl/build.mjs. */
  build?: string;
  /** Whose memory timing to take. */
  board?: Board;
  /** Bytes of memory to make, of several memories for each one in use; the board's would be more than a machine has. */
  memoryBytes?: number | readonly number[];
  /** Stalls of 1024, and their seed. */
  stall?: number;
  seed?: number;
  /** Waveforms of cycles from..to; build "top-trace". */
  trace?: { file: string; from: number; to: number };
  /** Cycle from which the memory answers nothing: for tests. */
  hangAt?: number;
}

export function simulatorPath(build: string): string {
  return join(packageRoot(), "build", "rtl", build, "sim");
}

/** The build with so many ports that stream weights; with statePorts the state is dealt out to so many of them. */
export function buildName(ports: number, statePorts = 0): string {
  if (ports === 1) return "top";
  return statePorts === 0 ? `top-p${ports}` : `top-p${ports}-s${statePorts}`;
}

const BUILD_SCRIPT = "firmware/rtl/build.mjs";

/** Whether the RTL is here, which the package does not have. */
export function hasRtl(): boolean {
  return hasScript(BUILD_SCRIPT);
}

/** Undefined: there is none. */
export function verilatorVersion(): string | undefined {
  const { status, stdout } = spawnSync("verilator", ["--version"], { encoding: "utf8" });
  return status === 0 ? stdout.trim().split(" ").slice(0, 2).join(" ") : undefined;
}

/** Brings a simulation up to date with the RTL. Without Verilator one that is there must do: the device says which contract it keeps. */
export async function buildSimulation(build: string, { say, signal }: BuildOptions = {}): Promise<void> {
  if (!hasRtl()) {
    throw new LightMambaError("prerequisite", "the accelerator's RTL is not part of the package", {
      hint: "clone the repository, and run it there",
    });
  }
  const there = existsSync(simulatorPath(build));
  if (!there) say?.("the accelerator's simulation is being built: some minutes, once");
  const { code, text } = await runScript(BUILD_SCRIPT, [build], { signal });
  if (code === 0 || (code === PROGRAM_MISSING && there)) return;
  const what = code === PROGRAM_MISSING ? "no Verilator" : `the accelerator's simulation cannot be built: ${text}`;
  throw new LightMambaError("prerequisite", what, {
    file: BUILD_SCRIPT,
    hint:
      code === PROGRAM_MISSING ? "firmware/tools/install.sh installs it" : `node ${BUILD_SCRIPT} ${build} says more`,
  });
}

const BEAT = 64;

/** Memory timing of a board as options of the simulator: beats per cycle, cycles of latency. */
export function timing(board: Board): string[] {
  const rate = (gigabytes: number) => ((gigabytes * 1000) / (BEAT * board.clock_mhz)).toFixed(6);
  const drams = board.memories.flatMap((m) => [
    "--dram",
    `${rate(m.gigabytes_per_second * m.efficiency)},${Math.round((m.latency_ns * board.clock_mhz) / 1000)}`,
  ]);
  const ports = board.ports.flatMap((p) => [
    "--port",
    `${board.memories.findIndex((m) => m.name === p.memory)},${rate(p.gigabytes_per_second)},${p.outstanding}`,
  ]);
  return [...drams, ...ports];
}

/** A file with a register page and memories in it. */
type Place = Pick<DeviceMemory, "fd" | "registers" | "regions">;

/** Options for a file that the simulator gets as its descriptor 3. */
function placeArguments({ registers, regions }: Omit<Place, "fd">): string[] {
  const named = regions.flatMap(({ address, bytes, offset }) => ["--region", `${address},${bytes},${offset}`]);
  return ["--fd", "3", "--registers", String(registers), "--parent", String(process.pid), ...named];
}

/**
 * The simulated accelerator on memory that belongs to another, QEMU's guest: a process that ends with this one, or on SIGTERM. Its descriptor 4
 * is a pipe, a byte for each interrupt; standard error has its last words.
 */
export function startOn(place: Place, build: string, board: Board): ChildProcess {
  const args = [...placeArguments(place), "--irq", "4", ...timing(board)];
  return spawn(programOf(build), args, { stdio: ["ignore", "ignore", "pipe", place.fd, "pipe"] });
}

function programOf(build: string): string {
  const program = simulatorPath(build);
  if (existsSync(program)) return program;
  throw new LightMambaError("prerequisite", "the accelerator's simulation is not built", {
    file: program,
    hint: `firmware/tools/install.sh installs Verilator, then: node ${BUILD_SCRIPT} ${build}`,
  });
}

export class Simulator {
  readonly device: Device;
  readonly memory: DeviceMemory;
  readonly pid: number;
  #child: ChildProcess;
  #log: number;
  /** Set by close: the last words, or that it was closed. */
  #epitaph: string | undefined;

  private constructor(child: ChildProcess, memory: DeviceMemory, log: number, options: SimulatorOptions) {
    this.#child = child;
    this.memory = memory;
    this.#log = log;
    this.pid = child.pid ?? 0;
    try {
      this.device = new Device(memory, { ...options, alive: () => this.ended() });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  static start(options: SimulatorOptions = {}): Simulator {
    const program = programOf(options.build ?? "top");
    const board: Board = options.board ?? BOARDS.sim;
    const memory = DeviceMemory.create(0, regionsOf(board, [options.memoryBytes ?? 64 * 2 ** 20].flat()));
    // Messages that can be read without the event loop
    const log = unnamedFile(tmpdir());
    const child = spawn(program, simulatorArguments(board, memory.regions, options), {
      stdio: ["ignore", "ignore", log, memory.fd],
    });
    // Its end is noticed by looking (ended), also while this thread never comes back to the event loop
    child.on("error", () => {});
    child.unref();
    return new Simulator(child, memory, log, options);
  }

  /** Why it does not run any more; undefined while it does. */
  ended(): string | undefined {
    if (this.#epitaph !== undefined) return this.#epitaph;
    if (this.#child.pid === undefined) return "the simulator could not be started";
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null && processState(this.pid) !== undefined) return undefined;
    const last = this.#lastWords();
    return `the simulator has ended${last === "" ? " (killed?)" : `: ${last}`}`;
  }

  #lastWords(): string {
    const bytes = Buffer.alloc(Math.min(fstatSync(this.#log).size, 65536));
    readSync(this.#log, bytes, 0, bytes.length, 0);
    return bytes.toString("utf8").trim().split("\n").at(-1) ?? "";
  }

  /** Ends it; nothing is left behind. Returns once it is gone. */
  close(): void {
    if (this.#epitaph !== undefined) return;
    if (this.ended() === undefined) this.#child.kill("SIGTERM");
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    for (let i = 0; this.ended() === undefined; i++) {
      if (i === 2000) this.#child.kill("SIGKILL");
      Atomics.wait(sleeper, 0, 0, 1);
    }
    this.#epitaph = this.ended() ?? "";
    this.memory.close();
    closeSync(this.#log);
  }
}

/** Memories at the board's addresses, in the file one behind the other. */
function regionsOf(board: Board, bytes: readonly number[]): Region[] {
  let end = REGISTER_PAGE;
  return bytes.map((count, i) => {
    const offset = end;
    end += Math.ceil(count / REGISTER_PAGE) * REGISTER_PAGE;
    return { address: memoriesInUse(board)[i]!.address, bytes: count, offset };
  });
}

function simulatorArguments(board: Board, regions: readonly Region[], options: SimulatorOptions): string[] {
  const args = [...placeArguments({ registers: 0, regions }), ...timing(board)];
  if (options.stall !== undefined) args.push("--stall", String(options.stall), "--seed", String(options.seed ?? 1));
  if (options.hangAt !== undefined) args.push("--hang", String(options.hangAt));
  if (options.trace) args.push("--trace", [options.trace.file, options.trace.from, options.trace.to].join(","));
  return args;
}

/** A letter, or undefined when it is gone; one that ended but was not collected yet counts as gone. */
function processState(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const state = text.slice(text.lastIndexOf(")") + 2)[0];
    return state === "Z" || state === "X" ? undefined : state;
  } catch {
    return undefined;
  }
}
