/**
 * Boots an image in QEMU: U-Boot from the card, Linux, init, the program; on the same memory the simulated accelerator. The image stays as
 * it is.
 */
import type { ChildProcess } from "node:child_process";
import {
  constants,
  copyFileSync,
  existsSync,
  mkdtempSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { BOARDS } from "../device/boards.generated.ts";
import { buildSimulation, startOn } from "../device/index.ts";
import { LightMambaError } from "../errors.ts";
import { buildSystem, type StepOptions } from "./components.ts";
import { imageBytes, readPartitions } from "./layout.ts";
import { GUEST_MEMORY, InterruptLine, startMachine } from "./qemu.ts";

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
  readPartitions(image);
  const { folder: system } = await buildSystem("qemu", options);
  if (options.device === "rtl") await buildSimulation("top", options.say ? { say: options.say } : {});
  const folder = mkdtempSync(join(memoryFolder(), "lightmamba-boot-"));
  const children: ChildProcess[] = [];
  try {
    const memory = join(folder, "memory");
    writeFileSync(memory, "");
    truncateSync(memory, GUEST_MEMORY);
    const card = copyOfCard(image, folder);
    const variables = join(folder, "variables");
    writeFileSync(variables, `lightmamba=${kernelArguments(options)}\n`);
    const accelerator = options.device === "rtl" ? startAccelerator(memory) : undefined;
    if (accelerator) children.push(accelerator);
    const machine = startMachine({ system, memory, card, variables, folder });
    children.push(machine);
    const line = accelerator ? connectInterrupt(accelerator, folder) : undefined;
    const result = await watch(machine, options);
    (await line)?.close();
    return result;
  } finally {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where files are memory, if there is room for what a guest touches: on a disk they would be written all the time. */
function memoryFolder(): string {
  if (!existsSync("/dev/shm")) return tmpdir();
  const { bavail, bsize } = statfsSync("/dev/shm");
  return bavail * bsize >= GUEST_MEMORY ? "/dev/shm" : tmpdir();
}

/** QEMU's card has a power of two of bytes. */
function copyOfCard(image: string, folder: string): string {
  const card = join(folder, "card");
  copyFileSync(image, card, constants.COPYFILE_FICLONE);
  truncateSync(card, 2 ** Math.ceil(Math.log2(imageBytes(image))));
  return card;
}

/** docs/boot.md: words percent-encoded, + between them. */
function kernelArguments({ command, device }: BootOptions): string {
  const words = command.map((word) =>
    encodeURIComponent(word).replaceAll(/[!'()*~+]/g, (c) => `%${c.charCodeAt(0).toString(16)}`),
  );
  const own = [`lightmamba.run=${words.join("+")}`, "lightmamba.poweroff"];
  // Without an accelerator there is nothing to test
  return [...own, ...(device === "wasm" ? ["lightmamba.noselftest"] : [])].join(" ");
}

function startAccelerator(file: string): ChildProcess {
  const { registers, memories } = BOARDS.qemu;
  // Below 2 GiB the guest's addresses are offsets in the file
  const regions = memories.map(({ address, bytes }) => ({ address, bytes, offset: address }));
  return startOn({ file, registers: registers.address, regions }, "top", BOARDS.qemu);
}

async function connectInterrupt(accelerator: ChildProcess, folder: string): Promise<InterruptLine> {
  const line = await InterruptLine.open(folder);
  accelerator.stdio[3]!.on("data", () => line.raise());
  return line;
}

function watch(machine: ChildProcess, options: BootOptions): Promise<BootResult> {
  const start = performance.now();
  const result: BootResult = { exit: undefined, timeline: [] };
  const reached = (name: string) => {
    if (result.timeline.some((one) => one.name === name)) return;
    result.timeline.push({ name, seconds: (performance.now() - start) / 1000 });
  };
  return new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => {
      const last = result.timeline.at(-1)?.name ?? "nothing";
      const detail = {
        expected: `an end within ${options.timeoutSeconds} s`,
        found: `${last} was the last that was seen`,
      };
      reject(new LightMambaError("device", "the board did not come to its end", detail));
    }, 1000 * options.timeoutSeconds);
    options.signal?.addEventListener("abort", () => machine.kill("SIGKILL"));
    machine.stderr!.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
    });
    createInterface({ input: machine.stdout! }).on("line", (text) => {
      const line = text.replaceAll("\r", "");
      for (const [name, pattern] of MILESTONES) if (pattern.test(line)) reached(name);
      const exit = EXIT_LINE.exec(line);
      if (exit) result.exit = Number(exit[1]);
      options.onLine(line);
    });
    machine.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      const missing = error.code === "ENOENT";
      const hint = missing ? { hint: "firmware/tools/install.sh installs it" } : {};
      reject(new LightMambaError(missing ? "prerequisite" : "bug", missing ? "no QEMU" : error.message, hint));
    });
    machine.on("close", (code) => {
      clearTimeout(timer);
      reached("power off");
      if (code === 0) resolve(result);
      else reject(new LightMambaError("bug", `QEMU ended with ${code}: ${said.trim().split("\n").at(-1) ?? ""}`));
    });
  });
}
