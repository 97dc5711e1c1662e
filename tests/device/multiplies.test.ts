/** Several MULTIPLYs at a time, whose weights come while the one before is at work: each does what it does alone, and what goes wrong is its own. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import type { Device } from "../../host/device/index.ts";
import { withPorts } from "../../host/runtime/ports.ts";
import { type Layer, layerOf, list } from "../rtl/layers.ts";
import { skipReason } from "../rtl/support.ts";
import type { MmuCase } from "../units/cases.ts";
import { type Multiply, multiplyOf } from "./mmu-layout.ts";
import { assertUsable, noise, refusalOf, withSimulator } from "./support.ts";

const BUILD = "top-p3-s2";
const OPTIONS = { build: BUILD, board: withPorts(BOARDS.sim, 3), memoryBytes: 2 ** 22, weightBytes: 2 ** 21 };
const BEAT = 64;
const FAR = 2 ** 40;

const shapeOf = (K: number, rows: number, bits: 4 | 5, group: 16 | 32): MmuCase => ({
  ...{ K, rows, bits, weightBits: 4, group },
});
/** Long and short ones in turn, with all ports and with few, so that ports go over to the next one at other times. */
const LAYERS: readonly (readonly [kind: Layer["kind"], shape: MmuCase, pattern: readonly number[]])[] = [
  ["in_proj", shapeOf(640, 400, 4, 32), [0, 1, 2]],
  ["out_proj", shapeOf(96, 33, 5, 16), [2]],
  ["lm_head", shapeOf(33, 8, 4, 32), [1, 1, 0]],
  ["in_proj", shapeOf(1, 8, 5, 32), [0]],
  ["out_proj", shapeOf(1024, 90, 4, 16), [2, 1, 0, 1]],
  ["in_proj", shapeOf(320, 200, 5, 32), list(63, (i) => (5 * i + (i >> 3)) % 3)],
  ["lm_head", shapeOf(257, 41, 4, 32), [1]],
];

/** One behind the other in memory. */
function prepare(device: Device, count: number, turn: number): Multiply[] {
  const all: Multiply[] = [];
  for (let i = 0; i < count; i++) {
    const [kind, shape, pattern] = LAYERS[(i + turn) % LAYERS.length]!;
    const before = all.at(-1);
    const from = { data: before?.bytes ?? 0, weights: before?.weights ?? 0 };
    all.push(multiplyOf(device, layerOf(kind, shape, 1 + ((i + turn) % 2), i + turn), pattern, from));
  }
  for (const piece of all.flatMap(({ before }) => before)) device.write(device.dataAddress + piece.at, piece.bytes);
  return all;
}

function assertRows(device: Device, { after }: Multiply, what: string): void {
  for (const { at, bytes } of after) {
    assert.ok(device.read(device.dataAddress + at, bytes.length).equals(Buffer.from(bytes)), `${what}: rows`);
  }
}

function head(device: Device): number {
  return device.memory.readRegister(lm.REG_HEAD);
}

function check(device: Device, count: number, turn: number): number {
  const all = prepare(device, count, turn);
  const [first, from] = [head(device), device.busyCycles()];
  device.run(all.map(({ command }) => command));
  const cycles = Number(device.busyCycles() - from);
  all.forEach((one, i) => {
    const { beatsRead, beatsWritten } = device.completion(first + i)!;
    assert.deepEqual([beatsRead, beatsWritten], [one.read, one.written], `beats of ${i} behind ${turn}`);
    assertRows(device, one, `${i} behind ${turn}`);
  });
  return cycles;
}

describe(`MULTIPLYs one behind the other, ${BUILD}`, { skip: skipReason(BUILD) }, () => {
  for (const stall of [0, 100, 500]) {
    test(`each does what it does alone, stalls ${stall}/1024`, () => {
      withSimulator({ ...OPTIONS, stall, seed: 3, timeoutMs: 60_000 }, (device) => {
        for (let turn = 0; turn < LAYERS.length; turn++) check(device, 2 + ((3 * turn) % 8), turn);
      });
    });
  }

  test("weights of the next one come while this one is at work", () => {
    withSimulator(OPTIONS, (device) => {
      const together = check(device, 8, 0);
      const alone = list(8, (i) => check(device, 1, i)).reduce((sum, cycles) => sum + cycles, 0);
      assert.ok(together < alone - 8 * 60, `${together} cycles together, ${alone} one by one`);
    });
  });

  interface Wrong {
    name: string;
    change: (one: Multiply, device: Device) => void;
    status: number;
    info: bigint;
  }
  const address = (index: number) => (one: Multiply) => {
    one.command.addresses = one.command.addresses!.map((address, i) => (i === index ? FAR : address));
  };
  const table = (change: (bytes: Buffer) => void) => (one: Multiply, device: Device) => {
    const bytes = Buffer.from(one.before[0]!.bytes);
    change(bytes);
    device.write(device.dataAddress + one.before[0]!.at, bytes);
  };
  const outside = { status: lm.STATUS_WINDOW, info: BigInt(FAR) };
  const wrong: readonly Wrong[] = [
    { name: "table outside the windows", change: address(0), ...outside },
    { name: "coded vectors outside the windows", change: address(1), ...outside },
    { name: "rows outside the windows", change: address(2), ...outside },
    { name: "records outside the windows", change: address(3), ...outside },
    ...[0, 1, 2].map((port) => ({
      name: `weights of port ${port} outside the windows`,
      change: table((bytes) => void bytes.writeBigUInt64LE(BigInt(FAR), BEAT + 8 * port)),
      ...outside,
    })),
    {
      name: "a port that is not there",
      change: table((bytes) => void bytes.writeUInt8(3, 1)),
      ...{ status: lm.STATUS_SIZE, info: BigInt(lm.DESC_A0) },
    },
  ];

  for (const stall of [0, 300]) {
    test(`an error is that of its command, stalls ${stall}/1024`, () => {
      withSimulator({ ...OPTIONS, stall, seed: 9, timeoutMs: 60_000 }, (device) => {
        for (const { name, change, status, info } of wrong) {
          for (const at of [0, 1, 3]) {
            // Ports 0, 1 and 2 all have blocks of the layers 0, 4 and 5
            const all = prepare(device, 4, at === 0 ? 0 : at === 1 ? 4 : 2);
            change(all[at]!, device);
            const first = head(device);
            const error = refusalOf(() => device.run(all.map(({ command }) => command)));
            assert.deepEqual([error.sequence - first, error.status, error.info], [at, status, info], `${name}, ${at}`);
            for (const one of all.slice(0, at)) assertRows(device, one, `before the one with ${name}`);
            assertUsable(device);
          }
        }
        check(device, 4, 0);
      });
    });
  }

  test("are given up anywhere, and the next ones are right", () => {
    withSimulator({ ...OPTIONS, stall: 200, timeoutMs: 60_000 }, (device) => {
      for (let i = 0; i < 40; i++) {
        const all = prepare(device, 4, i);
        const last = device.submit(all.map(({ command }) => command));
        const until = device.cycles() + BigInt(i * i * 5);
        while (device.cycles() < until && device.completion(last) === undefined);
        device.reset();
        if (i % 4 === 0) check(device, 3, i);
      }
    });
  });

  test("tables of any bytes end with an error, or with rows", () => {
    withSimulator({ ...OPTIONS, stall: 50, timeoutMs: 60_000 }, (device) => {
      for (let seed = 1; seed <= 20; seed++) {
        const all = prepare(device, 3, seed);
        const [, second] = all as [Multiply, Multiply, Multiply];
        const bytes = noise(second.before[0]!.bytes.length, seed);
        bytes.writeUInt8(seed, 0);
        device.write(device.dataAddress + second.before[0]!.at, bytes);
        const error = refusalOf(() => device.run(all.map(({ command }) => command)));
        assert.ok([lm.STATUS_SIZE, lm.STATUS_WINDOW, lm.STATUS_ALIGNMENT].includes(error.status), error.message);
        check(device, 2, seed);
      }
    });
  });
});
