/** Runs the testbenches of firmware/rtl/sim. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build, ROOT } from "../firmware.ts";

/** Chances of a stall in 1/256 that tests try: none, some, mostly. */
export const STALLS: readonly number[] = [0, 64, 200];

const built = new Map<string, string | false>();

/**
 * Builds a unit's testbenches, once a process; cached over processes. The reason why its tests must be skipped, if there
 * is one: for the option `skip`. A build that fails is an error.
 */
export function skipReason(unit: string): string | false {
  if (!built.has(unit)) built.set(unit, build("firmware/rtl/build.mjs", unit).skip);
  return built.get(unit)!;
}

export interface Outcome {
  status: number | null;
  stdout: Buffer;
  stderr: string;
}

/** Requests through a testbench, whatever becomes of them. `name` is that of a build: the unit's, unless it has several. */
export function runBench(name: string, requests: Request | readonly Request[]): Outcome {
  const list = requests instanceof Request ? [requests] : requests;
  const { status, stdout, stderr, error } = spawnSync(join(ROOT, "build", "rtl", name, "sim"), {
    input: Buffer.concat(list.map((request) => request.bytes())),
    maxBuffer: 2 ** 30,
  });
  if (error) throw error;
  return { status, stdout, stderr: stderr.toString() };
}

/** The results of requests that must succeed. */
export function simulate(name: string, requests: Request | readonly Request[]): Result {
  const { status, stdout, stderr } = runBench(name, requests);
  if (status !== 0) throw new Error(`${name}: exit code ${status}: ${stderr}`);
  return new Result(stdout);
}

type Integers = ArrayLike<number> & Iterable<number>;

/** Little-endian bytes of one request. The first two words are the seed and the chance of a stall. */
export class Request {
  #parts: Buffer[] = [];

  constructor(seed: number, stall: number) {
    this.words(seed, stall);
  }

  /** u32 or int32. */
  words(...values: number[]): this {
    this.#parts.push(Buffer.from(Uint32Array.from(values, (value) => value >>> 0).buffer));
    return this;
  }

  word64(...values: (number | bigint)[]): this {
    this.#parts.push(Buffer.from(BigUint64Array.from(values, (value) => BigInt.asUintN(64, BigInt(value))).buffer));
    return this;
  }

  /** u8 or int8. */
  bytes8(values: Integers): this {
    this.#parts.push(Buffer.from(Uint8Array.from(values)));
    return this;
  }

  /** u16 or int16. */
  words16(values: Integers): this {
    this.#parts.push(Buffer.from(Uint16Array.from(values).buffer));
    return this;
  }

  /** u32 or int32. */
  words32(values: Integers): this {
    this.#parts.push(Buffer.from(Uint32Array.from(values, (value) => value >>> 0).buffer));
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** What a testbench wrote, read front to back. */
export class Result {
  #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #next(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  #many<T>(count: number, read: () => T): T[] {
    return Array.from({ length: count }, read);
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#next(1));
  }

  i8(): number {
    return this.#bytes.readInt8(this.#next(1));
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#next(2));
  }

  i16(): number {
    return this.#bytes.readInt16LE(this.#next(2));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#next(4));
  }

  i32(): number {
    return this.#bytes.readInt32LE(this.#next(4));
  }

  i64(): bigint {
    return this.#bytes.readBigInt64LE(this.#next(8));
  }

  /** Cycles: a u64 that is a safe integer. */
  cycles(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#next(8)));
  }

  bytes8(count: number): number[] {
    return this.#many(count, () => this.i8());
  }

  words16(count: number): number[] {
    return this.#many(count, () => this.i16());
  }

  words32(count: number): number[] {
    return this.#many(count, () => this.i32());
  }

  words64(count: number): bigint[] {
    return this.#many(count, () => this.i64());
  }

  /** Everything has been read. */
  get done(): boolean {
    return this.#at === this.#bytes.length;
  }
}
