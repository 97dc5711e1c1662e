/**
 * The memory that host and device share, as a file: reads and writes of it are coherent with a mapping in another process, so nothing but
 * Node is needed. On a board the same interface stands for mapped memory, where a hand-over needs cache maintenance: `give` and `take`.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LightMambaError } from "../errors.ts";

/** A stretch of device addresses, and where it lies in the file. */
export interface Region {
  address: number;
  bytes: number;
  offset: number;
}

/** Memory in the folder for it, if there is one: a file elsewhere might reach a disk. */
const SHARED_MEMORY = "/dev/shm";

/** A file without a name: gone with the last process that has it open, whatever ends that process. */
export function unnamedFile(parent: string): number {
  const folder = mkdtempSync(join(parent, "lightmamba-device-"));
  try {
    return openSync(join(folder, "file"), "wx+", 0o600);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** A test or a board may override how it is reached. */
export class DeviceMemory {
  readonly fd: number;
  readonly registers: number;
  readonly regions: readonly Region[];
  /** Hand-overs to the device (flush) and from it (invalidate), for tests: no emulator shows one that is missing. */
  readonly counts = { give: 0, take: 0 };
  /** Whether a wait may sleep until the device says something; it then is asked to, with the flag of the last command. */
  readonly interrupts: boolean = false;
  #word = Buffer.alloc(4);
  #closed = false;

  constructor(fd: number, registers: number, regions: readonly Region[]) {
    this.fd = fd;
    this.registers = registers;
    this.regions = regions;
  }

  /** In a file without a name. */
  static create(registers: number, regions: readonly Region[]): DeviceMemory {
    const size = Math.max(registers + 4096, ...regions.map((r) => r.offset + r.bytes));
    const errors: string[] = [];
    for (const parent of [SHARED_MEMORY, tmpdir()]) {
      try {
        // The file takes its room when it is written, too late for an error that helps
        const { bavail, bsize } = statfsSync(parent);
        if (bavail * bsize < size) throw new Error(`${parent}: ${bavail * bsize} bytes free`);
        const fd = unnamedFile(parent);
        ftruncateSync(fd, size);
        return new DeviceMemory(fd, registers, regions);
      } catch (error) {
        errors.push((error as Error).message);
      }
    }
    throw new LightMambaError("prerequisite", `no place for the device's memory: ${errors.join("; ")}`, {
      expected: `${size} bytes`,
    });
  }

  /** A file that another program made, as QEMU does for its guest's memory. */
  static open(path: string, registers: number, regions: readonly Region[]): DeviceMemory {
    let fd: number;
    try {
      fd = openSync(path, "r+");
    } catch (error) {
      throw new LightMambaError("badInput", (error as Error).message, { file: path });
    }
    const size = Math.max(registers + 4096, ...regions.map((r) => r.offset + r.bytes));
    const found = fstatSync(fd).size;
    if (found >= size) return new DeviceMemory(fd, registers, regions);
    closeSync(fd);
    throw new LightMambaError("badInput", "shorter than the device's memory", { file: path, expected: size, found });
  }

  readRegister(offset: number): number {
    readSync(this.fd, this.#word, 0, 4, this.registers + offset);
    return this.#word.readUInt32LE(0);
  }

  writeRegister(offset: number, value: number): void {
    this.#word.writeUInt32LE(value >>> 0, 0);
    writeSync(this.fd, this.#word, 0, 4, this.registers + offset);
  }

  #offset(address: number, bytes: number): number {
    for (const r of this.regions)
      if (address >= r.address && address + bytes <= r.address + r.bytes) return r.offset + (address - r.address);
    throw new LightMambaError(
      "bug",
      `address 0x${address.toString(16)} (${bytes} bytes) is not in the device's memory`,
    );
  }

  read(address: number, into: Uint8Array): void {
    const from = this.#offset(address, into.length);
    for (let at = 0; at < into.length; ) {
      const count = readSync(this.fd, into, at, into.length - at, from + at);
      if (count === 0) throw new LightMambaError("device", "the device's memory became shorter");
      at += count;
    }
  }

  write(address: number, from: Uint8Array): void {
    const to = this.#offset(address, from.length);
    for (let at = 0; at < from.length; ) at += writeSync(this.fd, from, at, from.length - at, to + at);
  }

  /** The device may read this range now. A file needs nothing; a board cleans the caches here. */
  give(_address: number, _bytes: number): void {
    this.counts.give++;
  }

  /** The host may read this range now. A board invalidates the caches here. */
  take(_address: number, _bytes: number): void {
    this.counts.take++;
  }

  /** Between two looks at the device, the round-th time: whoever waits has nothing else to do. */
  pause(round: number): void {
    if (!this.spins(round)) Atomics.wait(sleeper, 0, 0, round < 2000 ? 0.05 : 1);
  }

  /** Most commands are over soon. */
  protected spins(round: number): boolean {
    return round <= 50;
  }

  /** Why the other side cannot answer any more, if it is known to have ended. */
  ended(): string | undefined {
    return undefined;
  }

  close(): void {
    if (!this.#closed) closeSync(this.fd);
    this.#closed = true;
  }
}
