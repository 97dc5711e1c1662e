/**
 * A device in this process: docs/device.md and docs/format.md executed on plain bytes, with the oracle's arithmetic. Registers, ring and windows as a
 * driver sees them; a command runs when the doorbell rings. It also holds the host to what units at the same time demand: a command may touch
 * what an earlier one touches only if WAIT, FOLLOW or their unit puts it behind that one.
 */
import * as lm from "../../assembly/device.generated.ts";
import { DeviceMemory } from "../../host/device/index.ts";
import { transform } from "../oracle/hadamard.ts";
import { accumulate, type OracleLinear, rowOut } from "../oracle/mmu.ts";
import { mix, type OracleModel } from "../oracle/model.ts";
import { nqu } from "../oracle/nqu.ts";
import { floorShift, rsh, satN } from "../oracle/primitives.ts";
import { gammaGrouped, gammaPlain, sumOfSquares } from "../oracle/ssmu.ts";
import { norm } from "../oracle/tables.ts";
import { codedVector } from "./layouts.ts";
import {
  BEAT,
  blockBytes,
  codedBytes,
  Descriptor,
  dealState,
  gatherState,
  int32s,
  limitResidual,
  list,
  pad,
  partBytes,
  putState,
  readBlock,
  readLayer,
  ringBytes,
  type Shape,
  stateBytes,
  storedRows,
  takeCodes,
  takeSegments,
  takeState,
  uBytes,
} from "./model-layouts.ts";

/** Beyond 32 bits, as on a board. */
const BASE = 0x8_0000_0000;

export interface DeviceModelOptions {
  bytes?: number;
  ports?: number;
  tokens?: number;
  /** Other words of BUILD_*, by their register. */
  build?: Readonly<Record<number, number>>;
}

class Fault extends Error {
  readonly status: number;
  readonly info: bigint;

  constructor(status: number, info: number | bigint) {
    super(`status ${status}`);
    this.status = status;
    this.info = BigInt(info);
  }
}

interface Span {
  from: number;
  to: number;
}

/** What a command of this doorbell touched, and which earlier ones had ended before it. */
interface Footprint {
  unit: number;
  reads: Span[];
  writes: Span[];
  behind: bigint;
}

const UNIT_OF: Readonly<Record<number, number>> = {
  [lm.OP_NOP]: lm.UNIT_COMMAND,
  [lm.OP_FENCE]: lm.UNIT_COMMAND,
  [lm.OP_COPY]: lm.UNIT_COPY,
  [lm.OP_MULTIPLY]: lm.UNIT_MMU,
  [lm.OP_SSM]: lm.UNIT_SSMU,
  [lm.OP_HTU]: lm.UNIT_HTU,
  [lm.OP_NQU]: lm.UNIT_NQU,
  [lm.OP_EMBED]: lm.UNIT_EMBED,
};

export class DeviceModel extends DeviceMemory {
  /** Asked before every command, counted from 0: a status to fail with. */
  fail: ((command: number) => number | undefined) | undefined;
  /** Hears no doorbell and no reset. */
  deaf = false;
  readonly #bytes: Buffer;
  readonly #words = new Uint32Array(lm.REGISTER_PAGE / 4);
  readonly #ports: number;
  readonly #tokens: number;
  readonly #matrices = new Map<number, OracleLinear>();
  #next = 0;
  #commands = 0;
  #halted = false;
  #footprints: Footprint[] = [];

  constructor(options: DeviceModelOptions = {}) {
    const { bytes = 2 ** 24, ports = 1, tokens = 4 } = options;
    super(-1, 0, [{ address: BASE, bytes, offset: 0 }]);
    // Nothing may depend on what was there before
    this.#bytes = Buffer.alloc(bytes, 0xa5);
    this.#ports = ports;
    this.#tokens = tokens;
    const words: Record<number, number> = {
      ...{ [lm.REG_ID]: lm.ID, [lm.REG_VERSION]: lm.VERSION, [lm.REG_CONTRACT]: lm.CONTRACT },
      ...{ [lm.REG_BUILD_LANES]: ports, [lm.REG_BUILD_PORTS]: ports, [lm.REG_BUILD_TOKENS]: tokens },
      ...{ [lm.REG_BUILD_ACT_BITS]: 8, [lm.REG_BUILD_MAX_INPUTS]: 8192, [lm.REG_BUILD_MAX_ROWS]: 2 ** 20 },
      ...{ [lm.REG_BUILD_MAX_HEADS]: 128, [lm.REG_BUILD_MAX_HEAD_DIM]: 128, [lm.REG_BUILD_MAX_STATE]: 512 },
      ...{ [lm.REG_BUILD_MAX_GROUPS]: 16, [lm.REG_BUILD_UNITS]: 127, [lm.REG_BUILD_MAX_COPY]: 2 ** 26 },
      ...{ [lm.REG_BUILD_MAX_WORDS]: 64, [lm.REG_BUILD_MAX_TAPS]: 32768, [lm.REG_BUILD_MAX_NORM_GROUP]: 4096 },
      ...{ [lm.REG_BUILD_MAX_ORDER]: 64, [lm.REG_BUILD_MAX_LOG2]: 7 },
      ...options.build,
    };
    for (const [register, value] of Object.entries(words)) this.#words[Number(register) / 4] = value;
  }

  /** Commands executed so far, those that failed too. */
  get commands(): number {
    return this.#commands;
  }

  // -------------------------------------------------------------------------------------------------- what a driver sees

  override readRegister(offset: number): number {
    return this.#words[offset / 4]!;
  }

  override writeRegister(offset: number, value: number): void {
    this.#words[offset / 4] = value;
    if (this.deaf) return;
    if (offset === lm.REG_ENABLE && value === 1) this.#next = this.readRegister(lm.REG_HEAD);
    if (offset === lm.REG_RESET) this.#reset();
    if (offset === lm.REG_HEAD && this.readRegister(lm.REG_ENABLE) === 1) this.#run();
  }

  override read(address: number, into: Uint8Array): void {
    this.#bytes.copy(into, 0, address - BASE, address - BASE + into.length);
  }

  override write(address: number, from: Uint8Array): void {
    this.#bytes.set(from, address - BASE);
    if (address >= this.#window(3).from) this.#matrices.clear();
  }

  override close(): void {}

  #reset(): void {
    this.#next = this.readRegister(lm.REG_HEAD);
    this.#halted = false;
    this.#set({ STATE: lm.STATE_IDLE, COMPLETED: this.#next, HEAD_SEEN: this.#next });
    this.#set({ RESETS: this.readRegister(lm.REG_RESET) });
  }

  #set(words: Partial<Record<"STATE" | "COMPLETED" | "HEAD_SEEN" | "RESETS", number>>): void {
    const registers = {
      ...{ STATE: lm.REG_STATE, COMPLETED: lm.REG_COMPLETED },
      ...{ HEAD_SEEN: lm.REG_HEAD_SEEN, RESETS: lm.REG_RESETS },
    };
    for (const [name, value] of Object.entries(words)) {
      this.#words[registers[name as keyof typeof registers] / 4] = value;
    }
  }

  #address(register: number): number {
    return this.readRegister(register) + this.readRegister(register + 4) * 2 ** 32;
  }

  #window(i: number): Span & { flags: number } {
    const at = lm.REG_WINDOW + i * lm.WINDOW_STRIDE;
    return {
      from: this.#address(at + lm.WINDOW_BASE_LOW),
      to: this.#address(at + lm.WINDOW_END_LOW),
      flags: this.readRegister(at + lm.WINDOW_FLAGS),
    };
  }

  // -------------------------------------------------------------------------------------------------- the ring

  #run(): void {
    const head = this.readRegister(lm.REG_HEAD);
    this.#set({ HEAD_SEEN: head });
    // Whoever rings waits for all before, so nothing of an earlier doorbell is at work.
    this.#footprints = [];
    for (; this.#next !== head && !this.#halted; this.#next = (this.#next + 1) >>> 0) {
      const entry = this.#next % 2 ** this.readRegister(lm.REG_RING_LOG2);
      const ring = this.#address(lm.REG_RING_LOW);
      const descriptor = new Descriptor(this.#span(ring + entry * BEAT, BEAT, lm.WINDOW_FLAG_READ));
      const [status, info] = this.#try(descriptor);
      this.#complete(entry, descriptor, status, info);
      this.#set({ COMPLETED: (this.#next + 1) >>> 0 });
      this.#halted = status !== lm.STATUS_OK;
    }
    if (this.#halted) this.#set({ STATE: lm.STATE_HALTED });
  }

  #try(descriptor: Descriptor): [status: number, info: bigint] {
    try {
      const injected = this.fail?.(this.#commands);
      this.#commands++;
      this.#execute(descriptor, injected !== undefined);
      if (injected !== undefined) throw new Fault(injected, 0);
      return [lm.STATUS_OK, 0n];
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#words[lm.REG_ERRORS / 4]! += 1;
      this.#words[lm.REG_ERROR_SEQUENCE / 4] = this.#next;
      this.#words[lm.REG_ERROR_STATUS / 4] = error.status;
      this.#words[lm.REG_ERROR_INFO_LOW / 4] = Number(error.info & 0xffff_ffffn);
      this.#words[lm.REG_ERROR_INFO_HIGH / 4] = Number(error.info >> 32n);
      return [error.status, error.info];
    }
  }

  #complete(entry: number, descriptor: Descriptor, status: number, info: bigint): void {
    const at = this.#address(lm.REG_COMPLETIONS_LOW) + entry * BEAT;
    const out = this.#span(at, BEAT, lm.WINDOW_FLAG_WRITE).fill(0);
    out.writeUInt32LE(this.#next, lm.DONE_SEQUENCE);
    out.writeUInt8(status, lm.DONE_STATUS);
    out.writeUInt8(descriptor.opcode, lm.DONE_OPCODE);
    out.writeBigUInt64LE(info, lm.DONE_INFO);
    out.writeUInt32LE((this.#next ^ lm.DONE_XOR) >>> 0, lm.DONE_DONE);
  }

  /** Bytes that the device may read or write, all of them in one window. */
  #span(address: number, bytes: number, flag: number): Buffer {
    if (address % BEAT !== 0) throw new Fault(lm.STATUS_ALIGNMENT, address);
    const inside = (w: Span & { flags: number }) => address >= w.from && address + bytes <= w.to && w.flags & flag;
    if (!list(lm.WINDOWS, (i) => this.#window(i)).some(inside)) throw new Fault(lm.STATUS_WINDOW, address);
    return this.#bytes.subarray(address - BASE, address - BASE + bytes);
  }

  #source(address: number, bytes: number): Buffer {
    this.#footprints.at(-1)!.reads.push({ from: address, to: address + bytes });
    return this.#span(address, bytes, lm.WINDOW_FLAG_READ);
  }

  #target(address: number, bytes: number): Buffer {
    this.#footprints.at(-1)!.writes.push({ from: address, to: address + bytes });
    return this.#span(address, bytes, lm.WINDOW_FLAG_WRITE);
  }

  // -------------------------------------------------------------------------------------------------- commands

  #execute(d: Descriptor, failing: boolean): void {
    const problem = d.problem(this.#next);
    if (problem) throw new Fault(problem.status, problem.info);
    const unit = UNIT_OF[d.opcode];
    if (unit === undefined) throw new Fault(lm.STATUS_OPCODE, d.opcode);
    if ((this.readRegister(lm.REG_BUILD_UNITS) >> unit) % 2 === 0) throw new Fault(lm.STATUS_ABSENT, unit);
    if (unit > lm.UNIT_COPY && (d.tokens < 1 || d.tokens > this.#tokens))
      throw new Fault(lm.STATUS_SIZE, lm.DESC_TOKENS);
    this.#begin(unit, d.flags);
    if (d.opcode === lm.OP_MULTIPLY) this.#multiply(d);
    if (d.opcode === lm.OP_SSM) this.#scan(d, failing);
    if (d.opcode === lm.OP_HTU) this.#transform(d);
    if (d.opcode === lm.OP_NQU) this.#quantize(d);
    if (d.opcode === lm.OP_EMBED) this.#embed(d);
    if (d.opcode === lm.OP_COPY) this.#source(d.a0, d.count).copy(this.#target(d.a1, d.count));
    this.#checkOrder();
  }

  #begin(unit: number, flags: number): void {
    const index = this.#footprints.length;
    const upTo = (i: number) => (i < 0 ? 0n : this.#footprints[i]!.behind | (1n << BigInt(i)));
    let behind = upTo(this.#footprints.findLastIndex((f) => f.unit === unit));
    if (flags & lm.FLAG_WAIT) behind |= (1n << BigInt(index)) - 1n;
    if (flags & lm.FLAG_FOLLOW) {
      if (this.#footprints[index - 1]?.unit === unit) throw new Error("FOLLOW behind a command of the same unit");
      behind |= upTo(index - 1);
    }
    this.#footprints.push({ unit, reads: [], writes: [], behind });
  }

  /** What is not ordered may be at work at the same time. */
  #checkOrder(): void {
    const mine = this.#footprints.at(-1)!;
    const meet = (a: Span[], b: Span[]) => a.some((x) => b.some((y) => x.from < y.to && y.from < x.to));
    this.#footprints.slice(0, -1).forEach((other, i) => {
      if ((mine.behind >> BigInt(i)) & 1n) return;
      const touches =
        meet(mine.reads, other.writes) || meet(mine.writes, other.writes) || meet(mine.writes, other.reads);
      if (touches) throw new Error(`command ${this.#footprints.length - 1} does not wait for command ${i}`);
    });
  }

  /** One of `tokens` vectors that are interleaved by beats. */
  #interleaved(from: Buffer, t: number, tokens: number): Buffer {
    return Buffer.concat(
      list(from.length / BEAT / tokens, (j) => from.subarray((j * tokens + t) * BEAT, (j * tokens + t + 1) * BEAT)),
    );
  }

  #interleave(to: Buffer, t: number, tokens: number, vector: Buffer): void {
    const whole = Buffer.alloc(to.length / tokens);
    vector.copy(whole);
    for (let j = 0; j < whole.length / BEAT; j++) {
      whole.copy(to, (j * tokens + t) * BEAT, j * BEAT, (j + 1) * BEAT);
    }
  }

  // -------------------------------------------------------------------------------------------------- EMBED, NQU, HTU

  #embed(d: Descriptor): void {
    const codes = this.#source(d.a0, pad(d.count, BEAT));
    const row = Buffer.alloc(pad(d.count, 16) * 4);
    for (let i = 0; i < d.count; i++) {
      row.writeInt32LE(limitResidual(rsh(BigInt(codes.readInt8(i) * d.inputs), d.shift)), 4 * i);
    }
    for (let j = 0; j < row.length / BEAT; j++) {
      row.copy(this.#target(d.a1 + j * d.stride * BEAT, BEAT), 0, j * BEAT);
    }
  }

  #quantize(d: Descriptor): void {
    const record = this.#source(d.a2, lm.NORM_RECORD);
    const root = { nm: record.readUInt16LE(8), ne: record.readUInt8(10) };
    const addend = record.readInt32LE(12);
    for (let t = 0; t < d.tokens; t++) {
      const [a, header] = this.#vector(d, t);
      const codes = nqu(a, d.bits);
      let [m, s] = header;
      if (d.route === lm.ROUTE_RESIDUAL) {
        const factor = norm(codes.S + floorShift(record.readBigUInt64LE(0), 2 * codes.e), root);
        [m, s] = [factor.m, 7 + factor.j + factor.ne];
      } else {
        s -= codes.e;
      }
      const bytes = codedBytes(d.count, d.bits);
      this.#target(d.a1 + t * bytes, bytes).set(codedVector(codes, d.count, m, s + addend));
    }
  }

  /** What an NQU reads: values, and of a u vector m and s of its header. */
  #vector(d: Descriptor, t: number): [values: number[], header: [m: number, s: number]] {
    const beats = Math.ceil((d.count * 4) / BEAT);
    if (d.route === lm.ROUTE_INNER) {
      const u = this.#source(d.a0 + t * uBytes(d.count), uBytes(d.count));
      return [int32s(u, lm.VECTOR_HEADER, d.count), [u.readUInt32LE(0), u.readInt32LE(4)]];
    }
    if (d.stride < 1) throw new Fault(lm.STATUS_SIZE, lm.DESC_STRIDE);
    const parts = list(beats, (j) => this.#source(d.a0 + (t + j * d.stride) * BEAT, BEAT));
    return [int32s(Buffer.concat(parts), 0, d.count), [0, 0]];
  }

  #transform(d: Descriptor): void {
    const { inputs: m, heads: blocks, headDim: k } = d;
    if (blocks * m * 2 ** k !== d.count || m > 64) throw new Fault(lm.STATUS_SIZE, lm.DESC_HEAD_DIM);
    const columns = this.#source(d.a2, pad(8 * m, BEAT));
    const bit = (r: number, i: number) => (columns.readBigUInt64LE(8 * i) >> BigInt(r)) & 1n;
    const signs = list(m, (r) => list(m, (i) => (bit(r, i) === 1n ? -1 : 1)));
    for (let t = 0; t < d.tokens; t++) {
      const from = this.#source(d.a0 + t * uBytes(d.count), uBytes(d.count));
      const to = this.#target(d.a1 + t * uBytes(d.count), uBytes(d.count)).fill(0);
      from.copy(to, 0, 0, lm.VECTOR_HEADER);
      const w = transform(int32s(from, lm.VECTOR_HEADER, d.count), { blocks, m, k, signs });
      w.forEach((value, i) => {
        to.writeInt32LE(value, lm.VECTOR_HEADER + 4 * i);
      });
    }
  }

  // -------------------------------------------------------------------------------------------------- MULTIPLY

  #multiply(d: Descriptor): void {
    const linear = this.#matrix(d);
    const width = d.route === lm.ROUTE_SEGMENTS ? 2 : 4;
    const bytes = pad(d.count * width, BEAT);
    const coded = this.#source(d.a1, d.tokens * codedBytes(d.inputs, d.bits));
    const rows = d.route === lm.ROUTE_RESIDUAL ? this.#source(d.a2, d.tokens * bytes) : Buffer.alloc(0);
    const out = this.#target(d.a2, d.tokens * bytes);
    const results = list(d.tokens, (t) => {
      const { codes, m, s } = takeCodes(coded.subarray(t * codedBytes(d.inputs, d.bits)), d.inputs, d.bits);
      const before = this.#interleaved(rows, t, d.tokens);
      const after = Buffer.alloc(bytes);
      accumulate(linear, codes).forEach((acc, row) => {
        const value = rowOut(acc, m, s - linear.rw[row]! - linear.f[row]!) + BigInt(linear.bias?.[row] ?? 0);
        if (d.route === lm.ROUTE_SEGMENTS) after.writeInt16LE(satN(value, 16), 2 * row);
        else if (d.route === lm.ROUTE_LOGITS) after.writeInt32LE(satN(value, 32), 4 * row);
        else after.writeInt32LE(limitResidual(BigInt(before.readInt32LE(4 * row)) + value), 4 * row);
      });
      return after;
    });
    for (const [t, after] of results.entries()) this.#interleave(out, t, d.tokens, after);
  }

  /** Weights as they lie behind the port table; they do not change while nobody writes them. */
  #matrix(d: Descriptor): OracleLinear & { f: number[] } {
    const recordBytes = d.flags & lm.FLAG_BIAS ? lm.BLOCK_RECORD_BIAS : lm.BLOCK_RECORD;
    const blocks = d.count / 8;
    const records = this.#source(d.a3, pad(blocks * recordBytes, BEAT));
    const of = (row: number) => Math.floor(row / 8) * recordBytes;
    const bias = list(d.count, (row) =>
      d.flags & lm.FLAG_BIAS ? records.readInt32LE(of(row) + 32 + 4 * (row % 8)) : 0,
    );
    const weights = this.#matrices.get(d.a0) ?? this.#weights(d);
    this.#matrices.set(d.a0, weights);
    return {
      ...weights,
      rw: list(d.count, (row) => records.readInt8(of(row) + (row % 8))),
      bias,
      f: list(d.count, (row) => records.readInt8(of(row) + 8)),
    };
  }

  #weights(d: Descriptor): OracleLinear {
    const table = this.#source(d.a0, BEAT + pad(8 * this.#ports, BEAT));
    const n = table.readUInt8(0);
    const pattern = list(Math.min(n, lm.PORT_PATTERN), (i) => table.readUInt8(1 + i));
    if (n < 1 || n > lm.PORT_PATTERN || pattern.some((port) => port >= this.#ports)) {
      throw new Fault(lm.STATUS_SIZE, lm.DESC_A0);
    }
    const next = list(this.#ports, (port) => Number(table.readBigUInt64LE(BEAT + 8 * port)));
    const planes = list(d.planes, (): number[][] => []);
    const linear: OracleLinear = { bits: d.planes === 2 ? 8 : 4, group: d.group, q: [], sw: [], rw: [] };
    const bytes = blockBytes(d.inputs, d.group);
    for (let block = 0; block < d.count / 8; block++) {
      const port = pattern[block % n]!;
      planes.forEach((plane, i) => {
        const { q, sw } = readBlock(this.#source(next[port]!, bytes), d.inputs, d.group);
        next[port]! += bytes;
        plane.push(...q);
        if (i === 0) linear.sw.push(...sw);
      });
    }
    const [high, low] = planes as [number[][], number[][] | undefined];
    linear.q = low ? high.map((row, r) => row.map((code, i) => 16 * code + low[r]![i]!)) : high;
    return linear;
  }

  // -------------------------------------------------------------------------------------------------- SSM

  /** A command that fails leaves a state that is of no use. */
  #scan(d: Descriptor, failing: boolean): void {
    const shape = { H: d.heads, P: d.headDim, N: d.state, G: d.groups, W: d.conv };
    const rows = storedRows(shape);
    const record = this.#source(d.a1, lm.LAYER_RECORD);
    const constants = this.#source(Number(record.readBigUInt64LE(40)), rows.length * lm.ROW_RECORD);
    const layer = readLayer(record, constants, rows, shape);
    const state = takeState(this.#stateOf(d, shape), shape, d.inputs);
    const bytes = pad(rows.length * 2, BEAT);
    const segments = this.#source(d.a2, d.tokens * bytes);
    const grouped = record.readUInt8(14) === 1;
    const eps = record.readBigUInt64LE(24);
    const root = { nm: record.readUInt16LE(32), ne: record.readUInt8(34) };
    const limits = { dtLow: record.readUInt32LE(16), dtHigh: record.readUInt32LE(20), stateBits: 8 as const };
    const model = { shape: { ...shape, D: 0, V: 0 }, ...limits } as OracleModel;
    for (let t = 0; t < d.tokens; t++) {
      const own = takeSegments(this.#interleaved(segments, t, d.tokens), rows, shape);
      const g = mix(model, layer, state, own, d.count + t);
      const S = sumOfSquares(g) + eps;
      const factor = norm(S, root);
      const u = grouped
        ? gammaGrouped(g, layer.gamma2, { groups: shape.G, eps, root }, layer)
        : gammaPlain(g, layer.gamma2, layer);
      const out = this.#target(d.a3 + t * uBytes(u.length), uBytes(u.length)).fill(0);
      out.writeUInt32LE(grouped ? 2 ** 15 : factor.m, 0);
      out.writeInt32LE(grouped ? 15 : 7 + factor.j + factor.ne, 4);
      out.writeBigUInt64LE(S, 8);
      u.forEach((value, i) => {
        out.writeInt32LE(value, lm.VECTOR_HEADER + 4 * i);
      });
    }
    const bytesOut = Buffer.alloc(stateBytes(shape), 0x77);
    if (!failing) putState(bytesOut, state, shape, d.inputs + d.tokens);
    const [ring, ...parts] = this.#statePlaces(d, shape).map(([at, size]) => this.#target(at, size));
    if (parts.length === 0) bytesOut.copy(ring!);
    else dealState(bytesOut, ring!, parts, shape);
  }

  #stateOf(d: Descriptor, shape: Shape): Buffer {
    const [ring, ...parts] = this.#statePlaces(d, shape).map(([at, size]) => this.#source(at, size));
    return parts.length === 0 ? ring! : gatherState(ring!, parts, shape);
  }

  /** Address and bytes of the whole state, or of F and taps and of each part. */
  #statePlaces(d: Descriptor, shape: Shape): [at: number, size: number][] {
    const ports = this.readRegister(lm.REG_BUILD_STATE_PORTS);
    if (ports === 0) return [[d.a0, stateBytes(shape)]];
    const table = this.#source(d.a1 + lm.LAYER_RECORD, BEAT);
    const parts = list(ports, (i): [number, number] => [Number(table.readBigUInt64LE(8 * i)), partBytes(shape, ports)]);
    return [[d.a0, ringBytes(shape)], ...parts];
  }
}
