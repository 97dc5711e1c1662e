/**
 * Boots an image in QEMU: U-Boot from the card, Linux, init, the program; on the same memory the simulated accelerator. The image stays as
 * it is.
 */
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { buildSimulation } from "../device/index.ts";
import { LightMambaError } from "../errors.ts";
import { buildSystem, type StepOptions } from "./components.ts";
import { readPartitions } from "./layout.ts";
import { programFailure, runProgram, startFailure } from "./programs.ts";
import { connectInterrupts, guestMemory, type Machine, startAccelerator, startMachine, variablesFile } from "./qemu.ts";
import { readManifest } from "./read.ts";
import { withScratch } from "./scratch.ts";
import { checkBoard } from "./verify.ts";

export interface BootOptions extends StepOptions {
  device: "rtl" | "wasm";
  /** Words for the board's program. */
  command: readonly string[];
  timeoutSeconds: number;
  /** A line of the console. */
  onLine: (line: string) => void;
}

/** Seconds since QEMU was started. */
export interface Milestone {
  name: string;
  seconds: number;
}

export interface BootResult {
  /** Of the board's program; undefined: it never came to its end. */
  exit: number | undefined;
  timeline: Milestone[];
}

const MILESTONES: readonly [name: string, line: RegExp][] = [
  ["U-Boot", /^U-Boot 20/],
  ["kernel", /^Starting kernel/],
  ["init", /^ {2}accelerator: /],
  ["first token", /^\{"id":/],
];
const EXIT_LINE = /^lightmamba: exit (\d+)$/;

export async function bootImage(image: string, options: BootOptions): Promise<BootResult> {
  const { device, say, signal } = options;
  const cmdline = kernelArguments(options);
  const [boot] = readPartitions(image);
  checkBoard(image, await readManifest(image, boot!, signal), "qemu");
  const { folder: system } = await buildSystem("qemu", options);
  if (device === "rtl") await buildSimulation("top", { say, signal });
  const memory = guestMemory();
  const files = [memory.fd, await copyOfCard(image, signal), variablesFile(cmdline)];
  const children: ChildProcess[] = [];
  try {
    const [, card, variables] = files;
    const machine = startMachine({ system, memory: memory.fd, card: card!, variables: variables! });
    children.push(machine.process);
    if (device === "wasm") return await watch(machine, options);
    const accelerator = startAccelerator(memory);
    children.push(accelerator);
    const [result] = await Promise.all([watch(machine, options, accelerator), connectInterrupts(accelerator, machine)]);
    return result;
  } finally {
    for (const child of children) child.kill("SIGKILL");
    for (const fd of files) closeSync(fd);
  }
}

/** Without a name, as memory is; QEMU's card has a power of two of bytes. */
function copyOfCard(image: string, signal: AbortSignal | undefined): Promise<number> {
  return withScratch(async (folder) => {
    const card = join(folder, "card");
    const sparse = ["--sparse=always", "--reflink=auto", "--no-preserve=mode"];
    await runProgram("cp", [...sparse, "--", image, card], { signal });
    truncateSync(card, 2 ** Math.ceil(Math.log2(statSync(card).size)));
    return openSync(card, "r+");
  });
}

/** Linux has 2,048 bytes for all of its arguments, and U-Boot cuts the rest without a word. */
const MOST_ARGUMENTS = 1900;

/** docs/boot.md: words percent-encoded, + between them. */
function kernelArguments({ command, device }: BootOptions): string {
  const words = command.map((word) =>
    encodeURIComponent(word).replaceAll(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`),
  );
  const own = [`lightmamba.run=${words.join("+")}`, "lightmamba.poweroff"];
  // Without an accelerator there is nothing to test
  const all = [...own, ...(device === "wasm" ? ["lightmamba.noselftest"] : [])].join(" ");
  if (all.length <= MOST_ARGUMENTS) return all;
  const detail = { expected: `at most ${MOST_ARGUMENTS} bytes, percent-encoded`, found: all.length };
  throw new LightMambaError("usage", "too long for the kernel's command line: a shorter --prompt", detail);
}

/** Until the machine is off. Without its accelerator it would wait for nothing. */
function watch(machine: Machine, options: BootOptions, accelerator?: ChildProcess): Promise<BootResult> {
  const start = performance.now();
  const result: BootResult = { exit: undefined, timeline: [] };
  const reached = (name: string) => {
    if (result.timeline.some((one) => one.name === name)) return;
    result.timeline.push({ name, seconds: (performance.now() - start) / 1000 });
  };
  const { process, console, messages } = machine;
  const said = collect(messages);
  const last = collect(accelerator?.stderr);
  options.signal?.addEventListener("abort", () => process.kill("SIGKILL"));
  createInterface({ input: console }).on("line", (text) => {
    const line = text.replaceAll(/\p{Cc}/gu, "");
    for (const [name, pattern] of MILESTONES) if (pattern.test(line)) reached(name);
    const exit = EXIT_LINE.exec(line);
    if (exit) result.exit = Number(exit[1]);
    options.onLine(line);
  });
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<BootResult>((resolve, reject) => {
    timer = setTimeout(() => reject(late(options.timeoutSeconds, result)), 1000 * options.timeoutSeconds);
    process.on("error", (error: NodeJS.ErrnoException) => reject(startFailure("setpriv", error)));
    process.on("close", (code, signal) => {
      reached("power off");
      if (code === 0) resolve(result);
      // setpriv's, where there is no such program
      else if (code === 127)
        reject(startFailure("qemu-system-aarch64", Object.assign(new Error(), { code: "ENOENT" })));
      else reject(programFailure("QEMU", code ?? signal ?? "?", said()));
    });
    accelerator?.on("close", () =>
      reject(new LightMambaError("device", `the simulated accelerator has ended: ${last()}`)),
    );
  });
  return ended.finally(() => clearTimeout(timer));
}

function late(seconds: number, { timeline }: BootResult): LightMambaError {
  const found = `${timeline.at(-1)?.name ?? "nothing"} was the last that was seen`;
  return new LightMambaError("device", "the board did not come to its end", {
    expected: `an end within ${seconds} s`,
    found,
  });
}

/** What has come from a stream so far. */
function collect(stream: Readable | null | undefined): () => string {
  let text = "";
  stream?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return () => text.trim();
}
