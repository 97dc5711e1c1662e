/**
 * A device behind shared memory: identity and build, the ring, completions, time-outs, recovery. docs/device.md is its specification. Whether
 * a simulator or a board is on the other side does not show here.
 *
 * All calls are synchronous, since the runtime waits inside WebAssembly.
 */
import * as lm from "../../assembly/device.generated.ts";
import { LightMambaError } from "../errors.ts";
import { type Command, type Completion, decode, encode, explain, opcodeName, seal, statusText } from "./descriptor.ts";
import type { DeviceMemory } from "./memory.ts";

export interface DeviceOptions {
  /** Entries of ring and completions: 2^ringLog2. */
  ringLog2?: number;
  /** Cycles that one descriptor may take; 0: any. */
  watchdogCycles?: number;
  /** How long the device may take to answer at all. */
  timeoutMs?: number;
  /** Why the other side cannot answer any more, if it is known to have ended. Default: what the memory knows. */
  alive?: () => string | undefined;
  /** Bytes at the end of the first region that the device only reads: weights and constants. */
  weightBytes?: number;
}

/** What the logic was built for, read back from it. */
export interface Build {
  lanes: number;
  ports: number;
  tokens: number;
  actBits: number;
  maxInputs: number;
  maxRows: number;
  maxHeads: number;
  maxHeadDim: number;
  maxState: number;
  maxGroups: number;
  units: number;
  maxCopy: number;
  /** SSMU: groups · ceil(d_state / 16); values of a conv ring; channels of a norm group, where there are several. */
  maxWords: number;
  maxTaps: number;
  maxNormGroup: number;
  /** HTU: order of the matrix, butterflies. */
  maxOrder: number;
  maxLog2: number;
  /** Ports 1 to this one have a part of the state each; 0: it is with port 0. */
  statePorts: number;
}

/** A command that the device refused or failed at. Afterwards the ring is empty and the device usable. */
export class CommandError extends LightMambaError {
  readonly sequence: number;
  readonly status: number;
  readonly info: bigint;

  constructor(sequence: number, what: string, status: number, info: bigint) {
    const more = explain(status, info);
    super("device", `command ${sequence} (${what}): ${statusText(status)}${more === "" ? "" : `: ${more}`}`);
    this.name = "CommandError";
    this.sequence = sequence;
    this.status = status;
    this.info = info;
  }
}

/** In a descriptor that belongs to no layer. */
const NO_LAYER = 0xffff;

/** Whether a comes after b, both u32 counters. */
function after(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

export class Device {
  readonly memory: DeviceMemory;
  readonly build: Build;
  /** First byte that the host may use. */
  readonly dataAddress: number;
  /** Doorbells that had to be rung again. */
  repeatedDoorbells = 0;

  #entries: number;
  #ring: number;
  #completions: number;
  #weightBytes = 0;
  #portMemories: readonly number[] = [];
  #head = 0;
  #timeoutMs: number;
  #alive: () => string | undefined;
  #broken: string | undefined;
  #names = new Map<number, string>();

  constructor(memory: DeviceMemory, options: DeviceOptions = {}) {
    this.memory = memory;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#alive = options.alive ?? (() => memory.ended());
    const log2 = options.ringLog2 ?? 9;
    this.#entries = 2 ** log2;
    this.#ring = align(memory.regions[0]!.address);
    this.#completions = this.#ring + this.#entries * lm.DESCRIPTOR;
    this.dataAddress = this.#completions + this.#entries * lm.COMPLETION;
    this.#setWeights(options.weightBytes ?? 0);
    this.build = this.#identify();
    this.#configure(log2, options.watchdogCycles ?? 0);
  }

  // -------------------------------------------------------------------------------------------------- memory

  get #end(): number {
    const { address, bytes } = this.memory.regions[0]!;
    return address + bytes;
  }

  /** What the device may only read: at the end of its first memory. In the others lie weights too, and parts of the state. */
  get weightAddress(): number {
    return this.#end - this.#weightBytes;
  }

  get weightBytes(): number {
    return this.#weightBytes;
  }

  /** What is free from dataAddress on, up to the weights. */
  get dataBytes(): number {
    return this.weightAddress - this.dataAddress;
  }

  /** Divides the memory anew; what is in it stays. `portMemories` says in which region a port has its weights. Only while the device is idle. */
  reserveWeights(bytes: number, portMemories: readonly number[] = []): void {
    this.#setWeights(bytes);
    this.#portMemories = portMemories;
    this.#grantAll();
  }

  #setWeights(bytes: number): void {
    this.#weightBytes = align(bytes);
    const size = this.memory.regions[0]!.bytes;
    if (this.#weightBytes <= size && this.dataBytes >= 0) return;
    throw refuse("the device's memory is too small", `at least ${size - this.dataBytes} bytes`, `${size} bytes`);
  }

  #grantAll(): void {
    this.grant(0, this.#ring, this.#completions, lm.WINDOW_FLAG_READ);
    this.grant(1, this.#completions, this.dataAddress, lm.WINDOW_FLAG_WRITE);
    this.grant(2, this.dataAddress, this.dataAddress + this.dataBytes, lm.WINDOW_FLAG_READ | lm.WINDOW_FLAG_WRITE);
    for (let port = 0; port < this.build.ports; port++) {
      const far = this.memory.regions[this.#portMemories[port] ?? 0]!;
      const from = far === this.memory.regions[0] ? this.weightAddress : far.address;
      // In a memory of its own a part of the state lies beside the weights; in the first it is among the data
      const writes = far !== this.memory.regions[0] && port >= 1 && port <= this.build.statePorts;
      const flags = writes ? lm.WINDOW_FLAG_READ | lm.WINDOW_FLAG_WRITE : lm.WINDOW_FLAG_READ;
      this.grant(lm.WINDOWS - 1 + port, from, far.address + far.bytes, flags);
    }
  }

  // -------------------------------------------------------------------------------------------------- start

  #identify(): Build {
    const id = this.#until("its id", () => {
      const found = this.memory.readRegister(lm.REG_ID);
      return found === 0 ? undefined : found;
    });
    const hex = (value: number) => `0x${value.toString(16)}`;
    if (id !== lm.ID) throw refuse("this is not our accelerator: wrong id", hex(lm.ID), hex(id));
    const version = this.memory.readRegister(lm.REG_VERSION);
    if (version >>> 16 !== lm.VERSION >>> 16)
      throw refuse("device of another version", versionText(lm.VERSION), versionText(version));
    const contract = this.memory.readRegister(lm.REG_CONTRACT);
    if (contract !== lm.CONTRACT)
      throw refuse(
        "device and host were built from different numbers: build both again",
        hex(lm.CONTRACT),
        hex(contract),
      );
    const word = (offset: number) => this.memory.readRegister(offset);
    const ports = word(lm.REG_BUILD_PORTS);
    if (ports < 1 || ports > lm.PORT_PATTERN)
      throw refuse("a device with no port, or more than there can be", `1 to ${lm.PORT_PATTERN}`, `${ports}`);
    const statePorts = word(lm.REG_BUILD_STATE_PORTS);
    if (statePorts >= ports || statePorts > lm.STATE_PARTS)
      throw refuse("a device with more parts of the state than ports for them", `below ${ports}`, `${statePorts}`);
    return {
      lanes: word(lm.REG_BUILD_LANES),
      ports,
      tokens: word(lm.REG_BUILD_TOKENS),
      actBits: word(lm.REG_BUILD_ACT_BITS),
      maxInputs: word(lm.REG_BUILD_MAX_INPUTS),
      maxRows: word(lm.REG_BUILD_MAX_ROWS),
      maxHeads: word(lm.REG_BUILD_MAX_HEADS),
      maxHeadDim: word(lm.REG_BUILD_MAX_HEAD_DIM),
      maxState: word(lm.REG_BUILD_MAX_STATE),
      maxGroups: word(lm.REG_BUILD_MAX_GROUPS),
      units: word(lm.REG_BUILD_UNITS),
      maxCopy: word(lm.REG_BUILD_MAX_COPY),
      maxWords: word(lm.REG_BUILD_MAX_WORDS),
      maxTaps: word(lm.REG_BUILD_MAX_TAPS),
      maxNormGroup: word(lm.REG_BUILD_MAX_NORM_GROUP),
      maxOrder: word(lm.REG_BUILD_MAX_ORDER),
      maxLog2: word(lm.REG_BUILD_MAX_LOG2),
      statePorts,
    };
  }

  /** Ring, completions, windows; from a known point, whoever used the device before. */
  #configure(log2: number, watchdog: number): void {
    const m = this.memory;
    m.writeRegister(lm.REG_ENABLE, 0);
    this.#head = m.readRegister(lm.REG_HEAD);
    m.writeRegister(lm.REG_RING_LOG2, log2);
    this.#address(lm.REG_RING_LOW, this.#ring);
    this.#address(lm.REG_COMPLETIONS_LOW, this.#completions);
    m.writeRegister(lm.REG_WATCHDOG, watchdog);
    this.#grantAll();
    this.reset();
    m.writeRegister(lm.REG_ENABLE, 1);
  }

  #address(register: number, address: number): void {
    this.memory.writeRegister(register, address % 2 ** 32);
    this.memory.writeRegister(register + 4, Math.floor(address / 2 ** 32));
  }

  /** The device may touch nothing outside its windows. Only while it is idle. */
  grant(window: number, base: number, end: number, flags: number): void {
    const at = lm.REG_WINDOW + window * lm.WINDOW_STRIDE;
    this.#address(at + lm.WINDOW_BASE_LOW, base);
    this.#address(at + lm.WINDOW_END_LOW, end);
    this.memory.writeRegister(at + lm.WINDOW_FLAGS, flags);
  }

  // -------------------------------------------------------------------------------------------------- commands

  /** Puts commands into the ring and rings the doorbell; waits for room where there is not enough. Returns the number of the last one. */
  submit(commands: readonly Command[], timeoutMs = this.#timeoutMs): number {
    const bytes = commands.map((command, i) => {
      const layer = command.layer === undefined ? "" : `, layer ${command.layer}`;
      this.#names.set((this.#head + i) >>> 0, `${opcodeName(command.opcode)}${layer}`);
      const flags = (command.flags ?? 0) | this.#wakes(i === commands.length - 1);
      return encode({ ...command, flags }, this.#head + i);
    });
    return this.submitRaw(bytes, timeoutMs);
  }

  /** Descriptors without sequence numbers and check words, 64 bytes each, as the runtime makes them. */
  submitList(list: Uint8Array, timeoutMs = this.#timeoutMs): number {
    const count = list.length / lm.DESCRIPTOR;
    const bytes = Array.from({ length: count }, (_, i) => {
      const descriptor = Buffer.from(list.subarray(i * lm.DESCRIPTOR, (i + 1) * lm.DESCRIPTOR));
      const sequence = (this.#head + i) >>> 0;
      this.#names.set(sequence, nameOf(descriptor));
      descriptor.writeUInt32LE(sequence, lm.DESC_SEQUENCE);
      descriptor[lm.DESC_FLAGS]! |= this.#wakes(i === count - 1);
      return seal(descriptor);
    });
    return this.submitRaw(bytes, timeoutMs);
  }

  /** Flags of a command: the last one of a list wakes whoever waits for it. */
  #wakes(last: boolean): number {
    return last && this.memory.interrupts ? lm.FLAG_INTERRUPT : 0;
  }

  /** Descriptors as they are: for tests of what the device does with bad ones. */
  submitRaw(descriptors: readonly Buffer[], timeoutMs = this.#timeoutMs): number {
    if (descriptors.length === 0) throw new LightMambaError("bug", "no commands");
    this.#usable();
    // More than the ring holds go in halves of it, so that the device works while the next ones come.
    const most = descriptors.length > this.#entries ? this.#entries / 2 : descriptors.length;
    for (let from = 0; from < descriptors.length; from += most) {
      this.#put(descriptors.slice(from, from + most), timeoutMs);
    }
    return (this.#head - 1) >>> 0;
  }

  #put(descriptors: readonly Buffer[], timeoutMs: number): void {
    const end = (this.#head + descriptors.length) >>> 0;
    this.#until(
      "room in the ring",
      () => (after(end, (this.#completed() + this.#entries) >>> 0) ? this.#throwError() : true),
      timeoutMs,
      "the ring is full",
    );
    for (const [i, bytes] of descriptors.entries()) {
      const address = this.#ring + ((this.#head + i) % this.#entries) * lm.DESCRIPTOR;
      this.memory.write(address, bytes);
      this.memory.give(address, lm.DESCRIPTOR);
      this.#names.delete((this.#head + i - 2 * this.#entries) >>> 0);
    }
    this.#head = end;
    this.memory.writeRegister(lm.REG_HEAD, end);
  }

  /** Waits until everything up to `sequence` has ended and returns its completion. The first failure is thrown, and the device reset. */
  wait(sequence: number, timeoutMs = this.#timeoutMs): Completion {
    this.#usable();
    this.#until(
      `command ${sequence} (${this.#names.get(sequence) ?? "unknown"})`,
      () => (after(this.#completed(), sequence) && !this.#failed() ? true : this.#throwError()),
      timeoutMs,
    );
    const completion = this.completion(sequence);
    if (completion === undefined)
      throw new LightMambaError("device", `command ${sequence} has ended, but its completion is gone from the ring`);
    return completion;
  }

  run(commands: readonly Command[], timeoutMs = this.#timeoutMs): Completion {
    return this.wait(this.submit(commands, timeoutMs), timeoutMs);
  }

  /** The completion of a command that has ended, while its place in the ring is not taken by another. */
  completion(sequence: number): Completion | undefined {
    const address = this.#completions + (sequence % this.#entries) * lm.COMPLETION;
    const bytes = Buffer.alloc(lm.COMPLETION);
    this.memory.take(address, lm.COMPLETION);
    this.memory.read(address, bytes);
    return decode(bytes, sequence);
  }

  /** Data for the device. */
  write(address: number, bytes: Uint8Array): void {
    this.memory.write(address, bytes);
    this.memory.give(address, bytes.length);
  }

  /** Data from the device, after the command that made it. */
  read(address: number, bytes: number): Buffer {
    const out = Buffer.alloc(bytes);
    this.memory.take(address, bytes);
    this.memory.read(address, out);
    return out;
  }

  /** Cycles since power-up, while it had something to do. */
  cycles(): bigint {
    return this.#wide(lm.REG_CYCLES_LOW);
  }

  /** Of these, cycles with a command at work. */
  busyCycles(): bigint {
    return this.#wide(lm.REG_BUSY_LOW);
  }

  #wide(low: number): bigint {
    for (;;) {
      const high = this.memory.readRegister(low + 4);
      const value = this.memory.readRegister(low);
      if (this.memory.readRegister(low + 4) === high) return (BigInt(high) << 32n) | BigInt(value);
    }
  }

  // -------------------------------------------------------------------------------------------------- failures

  /** Drops what is queued, gives up what runs, forgets the error. */
  reset(): void {
    const m = this.memory;
    const wanted = (m.readRegister(lm.REG_RESETS) + 1) >>> 0;
    try {
      // Heard after the reset, a doorbell would bring back what the reset drops
      const head = m.readRegister(lm.REG_HEAD);
      this.#until("the doorbell to be heard", () => (m.readRegister(lm.REG_HEAD_SEEN) === head ? true : undefined));
      m.writeRegister(lm.REG_RESET, wanted);
      this.#until("the reset", () => (m.readRegister(lm.REG_RESETS) === wanted ? true : undefined));
    } catch (error) {
      this.#broken = (error as Error).message;
      throw error;
    }
    this.#head = m.readRegister(lm.REG_HEAD);
    this.#names.clear();
    this.#broken = undefined;
  }

  #usable(): void {
    if (this.#broken !== undefined)
      throw new LightMambaError("device", `the device is out of order: ${this.#broken}`, { hint: "start it again" });
  }

  #completed(): number {
    return this.memory.readRegister(lm.REG_COMPLETED);
  }

  #failed(): boolean {
    return this.memory.readRegister(lm.REG_STATE) === lm.STATE_HALTED;
  }

  /** Throws what the device halted at, once nothing runs any more; undefined while it has not. */
  #throwError(): undefined {
    if (!this.#failed()) return undefined;
    const m = this.memory;
    const sequence = m.readRegister(lm.REG_ERROR_SEQUENCE);
    const error = new CommandError(
      sequence,
      this.#names.get(sequence) ?? "unknown command",
      m.readRegister(lm.REG_ERROR_STATUS),
      this.#wide(lm.REG_ERROR_INFO_LOW),
    );
    this.reset();
    throw error;
  }

  /** Polls until there is an answer; while commands end, time begins anew. The doorbell is rung again when the device did not hear it. */
  #until<T>(
    what: string,
    poll: () => T | undefined,
    timeoutMs = this.#timeoutMs,
    problem = "no answer from the device",
  ): T {
    let start = performance.now();
    let completed = this.#completed();
    let repeated = false;
    for (let round = 0; ; round++) {
      const found = poll();
      if (found !== undefined) return found;
      const dead = round % 64 === 63 ? this.#alive() : undefined;
      if (dead !== undefined) throw this.#break(`${dead}, while waiting for ${what}`);
      const elapsed = performance.now() - start;
      if (elapsed > timeoutMs) {
        if (this.#completed() === completed) throw this.#timedOut(what, timeoutMs, problem);
        completed = this.#completed();
        start = performance.now();
      }
      if (!repeated && elapsed > timeoutMs / 4 && this.memory.readRegister(lm.REG_HEAD_SEEN) !== this.#head) {
        repeated = true;
        this.repeatedDoorbells++;
        this.memory.writeRegister(lm.REG_HEAD, this.#head);
      }
      this.memory.pause(round);
    }
  }

  #timedOut(what: string, timeoutMs: number, problem: string): LightMambaError {
    const m = this.memory;
    const seen = m.readRegister(lm.REG_HEAD_SEEN);
    const states = ["idle", "running", "halted", "aborting"];
    const state = states[m.readRegister(lm.REG_STATE)] ?? "unknown";
    const heard = seen === this.#head ? `it has heard of all ${this.#head}` : `it heard of ${seen} of ${this.#head}`;
    return new LightMambaError(
      "device",
      `${problem}: waited ${timeoutMs} ms for ${what}; state ${state}, ${heard} commands and ended ${this.#completed()}`,
      { hint: "a reset of the device, or a new start of the simulator, gets it going again" },
    );
  }

  #break(why: string): LightMambaError {
    this.#broken = why;
    return new LightMambaError("device", why, { hint: "start it again" });
  }
}

/** Of a descriptor, for messages. */
function nameOf(descriptor: Buffer): string {
  const layer = descriptor.readUInt16LE(lm.DESC_LAYER);
  return `${opcodeName(descriptor[lm.DESC_OPCODE]!)}${layer === NO_LAYER ? "" : `, layer ${layer}`}`;
}

function align(value: number): number {
  return Math.ceil(value / lm.ALIGNMENT) * lm.ALIGNMENT;
}

function versionText(version: number): string {
  return `${version >>> 16}.${version & 0xffff}`;
}

function refuse(what: string, expected: string | number, found: string | number): LightMambaError {
  return new LightMambaError("device", what, { expected, found });
}
