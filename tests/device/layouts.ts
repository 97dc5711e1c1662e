/** Layouts of docs/device.md, and commands held against what they must do to memory. */
import assert from "node:assert/strict";
import * as lm from "../../assembly/device.generated.ts";
import type { Command, Completion, Device } from "../../host/device/index.ts";
import type { Codes } from "../oracle/nqu.ts";
import { copy, noise } from "./support.ts";

const BEAT = 64;

/** Bytes and zeros up to whole beats. */
export function beats(bytes: Uint8Array): Buffer {
  const out = Buffer.alloc(Math.ceil(bytes.length / BEAT) * BEAT);
  out.set(bytes);
  return out;
}

export function int32(values: readonly number[] | Int32Array): Buffer {
  return beats(new Uint8Array(Int32Array.from(values).buffer));
}

export function int8(values: readonly number[]): Buffer {
  return beats(new Uint8Array(Int8Array.from(values).buffer));
}

/** A beat with fields of 4 and 8 bytes at their offsets. */
export function beat(
  words: readonly [at: number, value: number][],
  longs: readonly [at: number, value: bigint][] = [],
): Buffer {
  const out = Buffer.alloc(BEAT);
  for (const [at, value] of words) out.writeUInt32LE(value >>> 0, at);
  for (const [at, value] of longs) out.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  return out;
}

export interface UHeader {
  m: number;
  s: number;
  sum: bigint;
}

export function uVector({ m, s, sum }: UHeader, values: readonly number[] | Int32Array): Buffer {
  const header = beat(
    [
      [0, m],
      [4, s],
    ],
    [[8, sum]],
  );
  return Buffer.concat([header, int32(values)]);
}

/** s is taken modulo 2^32. */
export function codedVector({ e, v, sa, S }: Codes, K: number, m: number, s: number): Buffer {
  const header = beat(
    [
      [0, e],
      [4, m],
      [8, s],
      [12, K],
    ],
    [[16, S]],
  );
  return Buffer.concat([header, beats(Uint8Array.from(sa)), int8(v)]);
}

export interface NormRecord {
  epsilon: bigint;
  nm: number;
  ne: number;
  addend: number;
}

export function normRecord({ epsilon, nm, ne, addend }: NormRecord): Buffer {
  return beat(
    [
      [8, nm | (ne << 16)],
      [12, addend],
    ],
    [[0, epsilon]],
  );
}

/** A piece of memory: bytes that lie `stride` beats from beat to beat, 1 unless given. */
export interface Piece {
  at: number;
  bytes: Uint8Array;
  stride?: number;
}

function place(memory: Buffer, { at, bytes, stride = 1 }: Piece): void {
  for (let i = 0; i < bytes.length; i += BEAT) memory.set(bytes.subarray(i, i + BEAT), at + i * stride);
}

/**
 * Runs commands over memory that is noise but for `before`. Afterwards `after` is there and every other byte is as it was. `at` of a piece, and
 * `bytes`, the size of it all, count from the device's first byte of data.
 */
export function assertEffect(
  device: Device,
  commands: readonly Command[],
  bytes: number,
  before: readonly Piece[],
  after: readonly Piece[],
): Completion {
  const memory = noise(bytes, commands.length + before.length);
  for (const piece of before) place(memory, piece);
  device.write(device.dataAddress, memory);
  const completion = device.run(commands);
  for (const piece of after) place(memory, piece);
  const found = device.read(device.dataAddress, bytes);
  const at = found.equals(memory) ? -1 : found.findIndex((byte, i) => byte !== memory[i]);
  if (at >= 0) {
    const from = at - (at % BEAT);
    const show = (b: Buffer) => b.subarray(from, from + BEAT).toString("hex");
    assert.fail(`byte ${at} (0x${at.toString(16)}); expected and found\n${show(memory)}\n${show(found)}`);
  }
  return completion;
}

/**
 * As assertEffect, of one command that follows a COPY (LM_FLAG_FOLLOW) whose last bytes are the last piece of `before`. The COPY is long: a unit
 * that does not wait for its end finds noise.
 */
export function assertFollows(
  device: Device,
  command: Command,
  bytes: number,
  before: readonly Piece[],
  after: readonly Piece[],
): Completion {
  const long = 32768;
  const moved = (pieces: readonly Piece[]) => pieces.map((piece) => ({ ...piece, at: piece.at + long }));
  const made = before.at(-1)!;
  const copied = noise(long + made.at + made.bytes.length, 5);
  for (const piece of moved(before)) place(copied, piece);
  const aside = { at: long + bytes, bytes: copied };
  const follower = {
    ...command,
    flags: (command.flags ?? 0) | lm.FLAG_FOLLOW,
    addresses: command.addresses!.map((address) => Number(address) + long),
  };
  return assertEffect(
    device,
    [copy(device.dataAddress + aside.at, device.dataAddress, copied.length), follower],
    aside.at + copied.length,
    [...moved(before.slice(0, -1)), aside],
    [{ at: 0, bytes: copied }, ...moved(after)],
  );
}
