/** A board that can be switched off in the middle of anything: QEMU with a card that keeps what was written, and a console to type on. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import type { DeviceMemory } from "../../host/device/index.ts";
import {
  connectInterrupts,
  guestMemory,
  type Machine,
  startAccelerator,
  startMachine,
  variablesFile,
} from "../../host/image/qemu.ts";

/** Of wall time, for whatever is waited for on a busy machine. */
const PATIENCE_SECONDS = 240;

export interface BoardOptions {
  /** Of firmware/system/build.mjs --board qemu. */
  system: string;
  /** A file of a power of two of bytes. */
  card: string;
  /** At the end of the kernel's command line: docs/boot.md. */
  cmdline: string;
  /** The simulated accelerator on the same memory; without it nobody is there. "no interrupts": it raises none. Default: none. */
  accelerator?: "whole" | "no interrupts";
  /** A guest that starts anew does so in this machine; otherwise it is off then. */
  restarts?: boolean;
}

/** What the console never said. */
export class Silence extends Error {}

export class Board {
  /** All that the console has said. */
  said = "";
  readonly accelerator: ChildProcess | undefined;
  readonly #machine: Machine;
  readonly #files: number[];
  readonly #memory: DeviceMemory;
  /** Of what was said: up to here it has been waited for. */
  #read = 0;
  #off = false;

  constructor({ system, card, cmdline, accelerator, restarts = false }: BoardOptions) {
    this.#memory = guestMemory();
    const variables = variablesFile(cmdline);
    this.#files = [openSync(card, "r+"), variables];
    this.#machine = startMachine({ system, memory: this.#memory.fd, card: this.#files[0]!, variables, restarts });
    const { process: qemu, console, messages } = this.#machine;
    for (const stream of [console, messages]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.said += text.replaceAll("\r", "");
      });
    }
    qemu.on("close", () => {
      this.#off = true;
    });
    if (accelerator) this.accelerator = this.#accelerate(accelerator === "whole");
  }

  #accelerate(interrupts: boolean): ChildProcess {
    const child = startAccelerator(this.#memory);
    if (interrupts) void connectInterrupts(child, this.#machine);
    else (child.stdio[4] as Readable).resume();
    return child;
  }

  type(line: string): void {
    (this.#machine.process.stdin as Writable).write(`${line}\n`);
  }

  /** Until the console says this, behind what was waited for before. */
  async until(pattern: RegExp, seconds = PATIENCE_SECONDS): Promise<RegExpExecArray> {
    for (const start = Date.now(); ; ) {
      const found = pattern.exec(this.said.slice(this.#read));
      if (found) {
        this.#read += found.index + found[0].length;
        return found;
      }
      if (this.#off || Date.now() - start > 1000 * seconds) {
        const last = this.said.slice(-2000);
        throw new Silence(`the console never said ${pattern}${this.#off ? ", and the board is off" : ""}:\n${last}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** What was said and not waited for. */
  get rest(): string {
    return this.said.slice(this.#read);
  }

  /** Power away, at once. */
  async cut(): Promise<void> {
    const { process: qemu } = this.#machine;
    for (const child of [qemu, this.accelerator]) child?.kill("SIGKILL");
    if (!this.#off) await once(qemu, "close");
    for (const fd of this.#files) closeSync(fd);
    this.#memory.close();
  }
}
