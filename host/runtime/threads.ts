/** The threads of an engine: workers that run `serve` of the same module on the same memory until the program ends. */
import { availableParallelism } from "node:os";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { LightMambaError } from "../errors.ts";
import type { RuntimeExports } from "./engine.ts";
import { attachKernels } from "./native.ts";

/** The module `accel`: assembly/accel.ts. Addresses are the device's, pointers those of linear memory. */
export interface AccelImports {
  write(address: bigint, pointer: number, bytes: number): void;
  read(address: bigint, pointer: number, bytes: number): void;
  run(descriptors: number, count: number): void;
}

/** Where there is none, and on every thread but the main one. */
const NO_DEVICE: AccelImports = { write: noDevice, read: noDevice, run: noDevice };

function noDevice(): never {
  throw new LightMambaError("bug", "the runtime asks for a device that is not there");
}

/** What an instance imports. */
export function importsOf(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  accel = NO_DEVICE,
): WebAssembly.Imports {
  const native = WebAssembly.Module.imports(module).some((entry) => entry.module === "native");
  return {
    env: { memory },
    host: { clock: () => performance.now() },
    accel: { ...accel },
    ...(native ? { native: attachKernels(memory) } : {}),
  };
}

interface ThreadData {
  role: typeof ROLE;
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  thread: number;
  /** int32: threads that are instantiated. */
  ready: SharedArrayBuffer;
}

const ROLE = "lightmamba thread";
const START_TIMEOUT_MS = 20_000;

/** Of a model. */
export const MOST_THREADS = 64;

/** Node 20's first compiler loses wake-ups of atomic waits. */
export function hasThreads(version = process.versions.node): boolean {
  return Number(version.split(".")[0]) >= 22;
}

/** As many as this machine's cores can use. */
export function usefulThreads(): number {
  return hasThreads() ? Math.min(availableParallelism(), MOST_THREADS) : 1;
}

/**
 * Starts threads 1 … count-1 and waits until each has its instance: an instance writes the module's static data anew, so all must be
 * there before the first is set up. Returns a function that ends them.
 */
export function startThreads(module: WebAssembly.Module, memory: WebAssembly.Memory, count: number): () => void {
  const ready = new SharedArrayBuffer(4);
  const workers = Array.from({ length: count - 1 }, (_, i) => {
    const data: ThreadData = { role: ROLE, module, memory, thread: i + 1, ready };
    // Without the program's own flags: some, like --input-type, are about its first file alone.
    const worker = new Worker(new URL(import.meta.url), { workerData: data, execArgv: [] });
    worker.unref();
    return worker;
  });
  const end = () => {
    for (const worker of workers) void worker.terminate();
  };
  const counter = new Int32Array(ready);
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (let seen = Atomics.load(counter, 0); seen < workers.length; seen = Atomics.load(counter, 0)) {
    if (Atomics.wait(counter, 0, seen, Math.max(0, deadline - Date.now())) !== "timed-out") continue;
    end();
    throw new LightMambaError("prerequisite", "the threads did not start", {
      expected: `${count} threads within ${START_TIMEOUT_MS / 1000} s`,
      found: seen + 1,
      hint: "--threads 1",
    });
  }
  return end;
}

function serve({ module, memory, thread, ready }: ThreadData): void {
  const instance = new WebAssembly.Instance(module, importsOf(module, memory));
  const counter = new Int32Array(ready);
  Atomics.add(counter, 0, 1);
  Atomics.notify(counter, 0);
  (instance.exports as unknown as RuntimeExports).serve(thread);
}

if (!isMainThread && (workerData as ThreadData | undefined)?.role === ROLE) serve(workerData as ThreadData);
