/**
 * Random descriptors, good and bad, against random stalls of the memory. A model of the contract, written from docs/device.md alone, says what
 * each must end in and what memory must hold afterwards.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { type Command, CommandError, type Device, encode, seal } from "../../host/device/index.ts";
import { type Pick, randomOf } from "../fuzz/random.ts";
import { skipReason } from "../rtl/support.ts";
import { assertUsable, noise, withSimulator } from "./support.ts";

const ROUNDS = 60;
const EDGES = [0n, 1n, 63n, 64n, 65n, 2048n, 2n ** 32n - 64n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 64n];

/** Memory as it should be. */
class Model {
  memory: Buffer;
  readonly device: Device;

  constructor(device: Device) {
    this.device = device;
    this.memory = noise(device.dataBytes + device.weightBytes, 99);
    device.write(device.dataAddress, this.memory);
  }

  /** The status of a descriptor, and its effect. */
  run(d: Buffer, sequence: number): number {
    const status = this.#status(d, sequence);
    if (status === lm.STATUS_OK && d[lm.DESC_OPCODE] === lm.OP_COPY) {
      const [from, to] = [this.#offset(d, lm.DESC_A0), this.#offset(d, lm.DESC_A1)];
      this.memory.copy(this.memory, to, from, from + d.readUInt32LE(lm.DESC_COUNT));
    }
    return status;
  }

  #offset(d: Buffer, field: number): number {
    return Number(d.readBigUInt64LE(field)) - this.device.dataAddress;
  }

  #status(d: Buffer, sequence: number): number {
    let check: number = lm.CHECK_XOR;
    for (let at = 0; at < 64; at += 4) check ^= d.readUInt32LE(at);
    if (check !== 0) return lm.STATUS_CHECK;
    if (d.readUInt32LE(lm.DESC_SEQUENCE) !== sequence) return lm.STATUS_SEQUENCE;
    const op = d[lm.DESC_OPCODE]!;
    const known: number[] = [
      lm.OP_NOP,
      lm.OP_FENCE,
      lm.OP_COPY,
      lm.OP_MULTIPLY,
      lm.OP_SSM,
      lm.OP_HTU,
      lm.OP_NQU,
      lm.OP_EMBED,
    ];
    if (!known.includes(op)) return lm.STATUS_OPCODE;
    if ((d[lm.DESC_FLAGS]! & ~(lm.FLAG_WAIT | lm.FLAG_INTERRUPT | lm.FLAG_BIAS | lm.FLAG_FOLLOW)) !== 0)
      return lm.STATUS_FLAGS;
    for (let i = 0; i < 4; i++) if (d.readBigUInt64LE(lm.DESC_A0 + 8 * i) % 64n !== 0n) return lm.STATUS_ALIGNMENT;
    if (op === lm.OP_NOP || op === lm.OP_FENCE) return lm.STATUS_OK;
    if (op === lm.OP_COPY) return this.#copyStatus(d);
    if (!this.#fits(d, op)) return lm.STATUS_SIZE;
    const bits = d[lm.DESC_FORMAT]!;
    const coded = op === lm.OP_MULTIPLY || op === lm.OP_NQU;
    if (coded && (![4, 5, 6, 8].includes(bits) || bits > this.device.build.actBits)) return lm.STATUS_FORMAT;
    if (op === lm.OP_SSM && bits !== 8) return lm.STATUS_FORMAT;
    return lm.STATUS_ABSENT;
  }

  #fits(d: Buffer, op: number): boolean {
    const b = this.device.build;
    const count = d.readUInt32LE(lm.DESC_COUNT);
    const [inputs, heads, headDim] = [lm.DESC_INPUTS, lm.DESC_HEADS, lm.DESC_HEAD_DIM].map((at) => d.readUInt16LE(at));
    const [state, groups, conv] = [d.readUInt16LE(lm.DESC_STATE), d[lm.DESC_GROUPS]!, d[lm.DESC_CONV]!];
    const [tokens, route, stride] = [d[lm.DESC_TOKENS]!, d[lm.DESC_ROUTE]!, d[lm.DESC_STRIDE]!];
    const within = (value: number, most: number, least = 1) => value >= least && value <= most;
    if (!within(tokens, b.tokens)) return false;
    switch (op) {
      case lm.OP_HTU:
        return (
          within(count, b.maxInputs) &&
          within(inputs!, b.maxOrder) &&
          within(headDim!, b.maxLog2, 0) &&
          heads! * inputs! * 2 ** headDim! === count
        );
      case lm.OP_NQU:
        if (route !== lm.ROUTE_INNER && !(route === lm.ROUTE_RESIDUAL && within(stride, b.tokens))) return false;
        return within(count, b.maxInputs);
      case lm.OP_EMBED:
        return within(count, b.maxInputs) && tokens === 1 && within(stride, b.tokens);
      case lm.OP_MULTIPLY:
        return (
          within(count, b.maxRows) &&
          count % 8 === 0 &&
          within(inputs!, b.maxInputs) &&
          within(route, 2, 0) &&
          within(d[lm.DESC_PLANES]!, 2) &&
          [16, 32].includes(d[lm.DESC_WEIGHT_GROUP]!)
        );
      default:
        return (
          within(heads!, b.maxHeads) &&
          within(headDim!, b.maxHeadDim) &&
          within(state, b.maxState) &&
          within(groups, b.maxGroups) &&
          within(conv, 4, 2) &&
          heads! % groups === 0 &&
          heads! * headDim! <= b.maxInputs &&
          groups * Math.ceil(state / 16) <= b.maxWords &&
          (conv - 1) * (heads! * headDim! + 2 * groups * state) <= b.maxTaps &&
          inputs! < conv - 1
        );
    }
  }

  #copyStatus(d: Buffer): number {
    const bytes = BigInt(d.readUInt32LE(lm.DESC_COUNT));
    if (bytes === 0n || bytes % 64n !== 0n || bytes > BigInt(this.device.build.maxCopy)) return lm.STATUS_SIZE;
    const [from, to] = [d.readBigUInt64LE(lm.DESC_A0), d.readBigUInt64LE(lm.DESC_A1)];
    if (BigInt.asUintN(64, from) < BigInt.asUintN(64, to + bytes) && to < BigInt.asUintN(64, from + bytes))
      return lm.STATUS_OVERLAP;
    const { dataAddress, dataBytes, weightAddress, weightBytes } = this.device;
    const inside = (at: bigint, base: number, size: number) =>
      at >= BigInt(base) && at + bytes <= BigInt(base) + BigInt(size);
    const entries = 16 * 64;
    const readable =
      inside(from, dataAddress, dataBytes) ||
      inside(from, weightAddress, weightBytes) ||
      inside(from, dataAddress - 2 * entries, entries);
    const writable = inside(to, dataAddress, dataBytes) || inside(to, dataAddress - entries, entries);
    return readable && writable ? lm.STATUS_OK : lm.STATUS_WINDOW;
  }
}

function addressNear(device: Device, pick: Pick): bigint {
  const size = device.dataBytes + device.weightBytes;
  switch (pick(12)) {
    case 0:
      return EDGES[pick(EDGES.length)]!;
    case 1:
      return BigInt(device.weightAddress + 64 * (pick(5) - 2));
    case 2:
      return BigInt(device.dataAddress + 64 * pick(16) + pick(2) * pick(64));
    default:
      return BigInt(device.dataAddress + 64 * pick(size / 64));
  }
}

/** Of a unit: mostly near what fits, so that each of its fields can be what is wrong. */
function unitCommand(flags: number, pick: Pick): Command {
  const opcode = [lm.OP_MULTIPLY, lm.OP_SSM, lm.OP_HTU, lm.OP_NQU, lm.OP_EMBED][pick(5)]!;
  const wild = pick(2) === 0;
  const [order, log2, blocks] = [1 + pick(70), pick(9), 1 + pick(3)];
  const htu = opcode === lm.OP_HTU && !wild;
  const groups = pick(18);
  return {
    opcode,
    flags,
    count: htu ? blocks * order * 2 ** log2 : 8 * pick(2000),
    inputs: htu ? order : opcode === lm.OP_SSM && !wild ? pick(4) : pick(9000),
    tokens: pick(6),
    format: wild ? pick(10) : 8,
    heads: htu ? blocks : wild ? pick(140) : groups * pick(8),
    headDim: htu ? log2 : pick(140),
    state: wild ? pick(600) : pick(140),
    groups,
    conv: pick(6),
    route: pick(5),
    planes: pick(4),
    weightGroup: [16, 32, 32, 64][pick(4)]!,
    stride: pick(6),
  };
}

function randomCommand(device: Device, pick: Pick): Command {
  const flags = pick(16);
  if (pick(6) === 0) return { opcode: [lm.OP_NOP, lm.OP_FENCE][pick(2)]!, flags };
  if (pick(10) === 0) return unitCommand(flags, pick);
  const bytes = 64 * (1 + pick(pick(4) === 0 ? 300 : 12));
  return { opcode: lm.OP_COPY, flags, count: bytes, addresses: [addressNear(device, pick), addressNear(device, pick)] };
}

/** Sometimes a descriptor with some bytes changed, mostly with a check word that fits again. */
function randomDescriptor(device: Device, pick: Pick, sequence: number): Buffer {
  const d = encode(randomCommand(device, pick), sequence);
  if (pick(8) !== 0) return d;
  for (let left = pick(3); left >= 0; left--) d[pick(64)] = pick(256);
  // Not into the completions: what is there is not the model's
  return pick(4) === 0 ? d : seal(d);
}

/** Lists of descriptors until the rounds are over; each list ends at its first bad one. */
function fuzz(device: Device, seed: number): { good: number; bad: Set<number> } {
  const pick = randomOf(seed);
  const model = new Model(device);
  const bad = new Set<number>();
  let good = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const first = device.memory.readRegister(lm.REG_HEAD);
    const list = Array.from({ length: 1 + pick(16) }, (_, i) => randomDescriptor(device, pick, first + i));
    let status: number = lm.STATUS_OK;
    let at = 0;
    for (; at < list.length && status === lm.STATUS_OK; at++) status = model.run(list[at]!, first + at);
    try {
      device.wait(device.submitRaw(list));
      assert.equal(status, lm.STATUS_OK, `seed ${seed}, round ${round}: was done`);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      assert.deepEqual(
        [error.sequence, error.status],
        [first + at - 1, status],
        `seed ${seed}, round ${round}: ${error}`,
      );
      bad.add(status);
    }
    good += at;
  }
  const found = device.read(device.dataAddress, model.memory.length);
  assert.ok(
    found.equals(model.memory),
    `seed ${seed}: memory differs from byte ${found.findIndex((b, i) => b !== model.memory[i])}`,
  );
  assertUsable(device);
  assert.equal(device.repeatedDoorbells, 0);
  return { good, bad };
}

const skip = skipReason("top-bare");
describe("random descriptors", { skip }, () => {
  const bad = new Set<number>();
  for (const stall of [0, 100, 500, 900]) {
    it(`end as the contract says, ${stall} of 1024 stalls`, () => {
      for (let seed = 1; seed <= 4; seed++) {
        withSimulator(
          { build: "top-bare", memoryBytes: 2 ** 17, weightBytes: 8192, stall, seed, timeoutMs: 30_000 },
          (device) => {
            const found = fuzz(device, seed + 1000 * stall);
            for (const status of found.bad) bad.add(status);
            assert.ok(found.good > ROUNDS);
          },
        );
      }
    });
  }

  it("reached every way to be bad", () => {
    const all = Object.entries(lm).filter(([name]) => name.startsWith("STATUS_"));
    // Not without a fault of the ring, the memory or the unit
    const others: number[] = [lm.STATUS_OK, lm.STATUS_RING, lm.STATUS_BUS, lm.STATUS_TIMEOUT, lm.STATUS_ABORTED];
    const missing = all.filter(([, code]) => !others.includes(code) && !bad.has(code)).map(([name]) => name);
    assert.deepEqual(missing, []);
  });
});
