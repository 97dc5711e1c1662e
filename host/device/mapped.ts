/** A board's device: registers and memory mapped into this process by the add-on of firmware/dma, which also waits for its interrupts. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { LightMambaError } from "../errors.ts";
import { packageRoot } from "../package.ts";
import { Device, type DeviceOptions } from "./device.ts";
import { DeviceMemory } from "./memory.ts";
import { type BuildOptions, hasScript, PROGRAM_MISSING, runScript } from "./script.ts";

/** An external value of the add-on. */
type Handle = object;

interface State {
  memories: { address: number; bytes: number }[];
  interrupts: boolean;
  /** Of a device that another process played. */
  gone: boolean;
  /** Hand-overs that the library counted. */
  gives: number;
  takes: number;
}

/** firmware/dma/addon.c. What it throws has the members of AddonError. */
interface Addon {
  open(registers: string, memory: string, address: number, bytes: number, offset: number): Handle;
  close(handle: Handle): void;
  addMemory(handle: Handle, path: string, address: number, bytes: number, offset: number): void;
  register(handle: Handle, offset: number): number;
  setRegister(handle: Handle, offset: number, value: number): void;
  read(handle: Handle, address: number, into: Uint8Array): void;
  write(handle: Handle, address: number, from: Uint8Array): void;
  give(handle: Handle, address: number, bytes: number): void;
  take(handle: Handle, address: number, bytes: number): void;
  state(handle: Handle): State;
  arm(handle: Handle): void;
  sleep(handle: Handle, microseconds: number): boolean;
}

interface AddonError extends Error {
  /** lm_dma_code_t */
  code?: number;
  expected?: string;
  found?: string;
}

const ARGUMENT = 1;

/** An interrupt that is lost costs no more. */
const LONGEST_SLEEP_US = 10_000;

const SCRIPT = "firmware/dma/build.mjs";
const HINT = "firmware/tools/install.sh installs what is missing, then: npm run build:dma";

export function addonPath(): string {
  return join(packageRoot(), "build", "dma", "addon", "lm_dma.node");
}

function loadAddon(): Addon {
  const file = addonPath();
  if (!existsSync(file))
    throw new LightMambaError("prerequisite", "the add-on for boards is not built", { hint: HINT });
  try {
    return createRequire(import.meta.url)(file) as Addon;
  } catch (error) {
    throw new LightMambaError("prerequisite", (error as Error).message, { file, hint: "npm run build:dma" });
  }
}

/** Brings the add-on up to date with its sources. Without a compiler one that is there must do: the device says which contract it keeps. */
export async function buildAddon({ say, signal }: BuildOptions = {}): Promise<void> {
  const there = existsSync(addonPath());
  if (!hasScript(SCRIPT)) {
    if (there) return;
    throw new LightMambaError("prerequisite", "the add-on for boards is not part of the package", {
      hint: "clone the repository, and run it there",
    });
  }
  if (!there) say?.("the add-on for boards is being built, once");
  const { code, text } = await runScript(SCRIPT, ["addon"], { signal });
  if (code === 0 || (code === PROGRAM_MISSING && there)) return;
  throw new LightMambaError("prerequisite", `the add-on for boards cannot be built: ${text}`, { hint: HINT });
}

/** Where a board's device is. */
export interface BoardPlace {
  /** UIO node, with the memories as its maps from 1 on; or a file with the memory behind the register page, in which a simulator plays the device. */
  uio: string;
  /** Memories elsewhere. The first has everything but the weights of ports that are at another one. */
  memories?: readonly MemoryPlace[];
}

export interface MemoryPlace {
  /** /dev/mem, another node, or a file. */
  path: string;
  /** As the device sees it. */
  address: number;
  bytes: number;
  /** Where it lies in the file. Default: at its address, as in /dev/mem. */
  offset?: number;
}

/** A fault of ours is a bug, what the system or the device refuses is not. */
function translated(error: unknown, argument: "usage" | "bug"): unknown {
  const { code, message, expected, found } = error as AddonError;
  if (typeof code !== "number") return error;
  const detail = { ...(expected ? { expected } : {}), ...(found ? { found } : {}) };
  return new LightMambaError(code === ARGUMENT ? argument : "device", message, detail);
}

export class MappedMemory extends DeviceMemory {
  override readonly interrupts: boolean;
  readonly #addon: Addon;
  readonly #handle: Handle;
  #armed = false;
  #open = true;

  private constructor(addon: Addon, handle: Handle) {
    const { memories, interrupts } = addon.state(handle);
    const regions = memories.map((memory) => ({ ...memory, offset: 0 }));
    super(-1, 0, regions);
    this.#addon = addon;
    this.#handle = handle;
    this.interrupts = interrupts;
  }

  /** For this process alone, until it is closed or the process ends. */
  static map({ uio, memories = [] }: BoardPlace): MappedMemory {
    const addon = loadAddon();
    const [first, ...others] = memories;
    let handle: Handle | undefined;
    try {
      const { path = "", address = 0, bytes = 0, offset = address } = first ?? {};
      handle = addon.open(uio, path, address, bytes, offset);
      for (const { path, address, bytes, offset = address } of others) {
        addon.addMemory(handle, path, address, bytes, offset);
      }
      return new MappedMemory(addon, handle);
    } catch (error) {
      if (handle !== undefined) addon.close(handle);
      throw translated(error, "usage");
    }
  }

  #do<T>(action: (addon: Addon, handle: Handle) => T): T {
    try {
      return action(this.#addon, this.#handle);
    } catch (error) {
      throw translated(error, "bug");
    }
  }

  override readRegister(offset: number): number {
    return this.#do((addon, handle) => addon.register(handle, offset));
  }

  override writeRegister(offset: number, value: number): void {
    this.#do((addon, handle) => addon.setRegister(handle, offset, value >>> 0));
  }

  override read(address: number, into: Uint8Array): void {
    this.#do((addon, handle) => addon.read(handle, address, into));
  }

  override write(address: number, from: Uint8Array): void {
    this.#do((addon, handle) => addon.write(handle, address, from));
  }

  override give(address: number, bytes: number): void {
    super.give(address, bytes);
    this.#do((addon, handle) => addon.give(handle, address, bytes));
  }

  override take(address: number, bytes: number): void {
    super.take(address, bytes);
    this.#do((addon, handle) => addon.take(handle, address, bytes));
  }

  /** Sleeps until an interrupt; before, whoever waits looks once more, since one may have come before it was armed. */
  override pause(round: number): void {
    if (!this.interrupts || this.spins(round)) {
      super.pause(round);
    } else if (this.#armed) {
      this.#armed = !this.#addon.sleep(this.#handle, LONGEST_SLEEP_US);
    } else {
      this.#addon.arm(this.#handle);
      this.#armed = true;
    }
  }

  override ended(): string | undefined {
    return this.#addon.state(this.#handle).gone ? "the process that played the device has ended" : undefined;
  }

  /** What the library counted; `counts` are the calls from here. */
  handOvers(): { give: number; take: number } {
    const { gives, takes } = this.#addon.state(this.#handle);
    return { give: gives, take: takes };
  }

  override close(): void {
    if (this.#open) this.#addon.close(this.#handle);
    this.#open = false;
  }
}

/** Whoever opens it closes its memory. */
export function openBoard(place: BoardPlace, options: DeviceOptions = {}): Device {
  const memory = MappedMemory.map(place);
  try {
    return new Device(memory, options);
  } catch (error) {
    memory.close();
    throw error;
  }
}
