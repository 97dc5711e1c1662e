/** MULTIPLY from memory to memory, against section 3.2: nothing but the rows changes, and not a beat more than needed moves. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import type { Completion, Device } from "../../host/device/index.ts";
import { blockBytes } from "../../host/model/frames.ts";
import { withPorts } from "../../host/runtime/ports.ts";
import { blocksOf, groupsOf, KINDS, type Layer, layerOf, list } from "../rtl/layers.ts";
import { skipReason } from "../rtl/support.ts";
import type { MmuCase } from "../units/cases.ts";
import { caseName } from "../units/support.ts";
import { assertEffect, assertFollows, codedVector } from "./layouts.ts";
import { multiplyOf } from "./mmu-layout.ts";
import { assertUsable, refusalOf, withSimulator } from "./support.ts";

const BEAT = 64;
const MEMORY = { memoryBytes: 2 ** 22, weightBytes: 2 ** 21 };
const STALLS = [0, 64, 400] as const;

/** Builds, and who has which block. */
const BUILDS = [
  { build: "top", ports: 1, patterns: [[0], Array<number>(63).fill(0)] },
  {
    build: "top-p4",
    ports: 4,
    patterns: [[0, 1, 2, 3], [3], [0, 2, 2, 1, 0, 3, 0], [2, 1], list(63, (i) => (5 * i + (i >> 3)) % 4)],
  },
];
type Build = (typeof BUILDS)[number];

function check(device: Device, layer: Layer, pattern: readonly number[]): Completion {
  const what = `${layer.kind}, ${layer.vectors.length} tokens, pattern ${pattern}, ${caseName(layer.shape)}`;
  const { command, before, after, bytes, read, written } = multiplyOf(device, layer, pattern);
  try {
    const completion = assertEffect(device, [command], bytes, before, after);
    assert.equal(completion.beatsRead, read, "beats read");
    assert.equal(completion.beatsWritten, written, "beats written");
    return completion;
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
  }
}

// ------------------------------------------------------------------------------------------------ cases

const shapeOf = (K: number, rows: number, bits: MmuCase["bits"], weightBits: 4 | 8, group: 16 | 32): MmuCase => ({
  K,
  rows,
  bits,
  weightBits,
  group,
});

/** Formats, group sizes and planes; frames, beats of rows, of records and of scales that are whole, partial, and many. */
const SHAPES: readonly MmuCase[] = [
  shapeOf(320, 200, 4, 4, 32),
  shapeOf(640, 90, 4, 4, 16),
  shapeOf(96, 33, 5, 4, 32),
  shapeOf(33, 90, 5, 4, 16),
  shapeOf(257, 41, 6, 4, 32),
  shapeOf(544, 24, 6, 8, 16),
  shapeOf(320, 72, 8, 4, 32),
  shapeOf(288, 48, 8, 8, 16),
  shapeOf(320, 100, 4, 8, 32),
  shapeOf(1, 8, 4, 4, 32),
  shapeOf(32, 1, 8, 4, 16),
  shapeOf(1025, 25, 4, 4, 32),
  shapeOf(1000, 16, 5, 8, 32),
  shapeOf(5120, 16, 4, 4, 32),
  shapeOf(8192, 9, 6, 4, 32),
  shapeOf(8192, 16, 8, 8, 16),
];

/** All codes and scales at one end. */
const EXTREMES: readonly MmuCase[] = ([4, 6, 8] as const).flatMap((bits) =>
  ([4, 8] as const).map((weightBits) => ({
    ...shapeOf(8192, 8, bits, weightBits, 16),
    fill: { q: weightBits === 4 ? -8 : -136, v: { 4: -15, 6: 31, 8: 127 }[bits], sw: 255, sa: 255 },
  })),
);

const KIND_NAMES = ["in_proj", "out_proj", "lm_head"] as const;

for (const { build, ports, patterns } of BUILDS) {
  describe(`MULTIPLY, ${build}`, { skip: skipReason(build) }, () => {
    for (const stall of STALLS) {
      for (const kind of KIND_NAMES) {
        test(`${kind}, stalls ${stall}/1024`, () => {
          withSimulator({ ...MEMORY, build, stall, seed: 1 + KINDS[kind], timeoutMs: 60_000 }, (device) => {
            assert.equal(device.build.ports, ports);
            const shapes = [...SHAPES, ...(stall === 64 ? EXTREMES : [])];
            shapes.forEach((shape, i) => {
              // Each shape meets every number of tokens and both ends of bias over the kinds and stalls.
              const turn = i + KINDS[kind] + STALLS.indexOf(stall);
              check(device, layerOf(kind, shape, 1 + (turn % 4), turn), patterns[turn % patterns.length]!);
            });
          });
        });
      }
    }

    test("rows of a layer of 2560 inputs", () => {
      withSimulator({ ...MEMORY, build }, (device) => {
        const layer = layerOf("in_proj", shapeOf(2560, 320, 4, 4, 32), 1, 3);
        const { cycles } = check(device, layer, patterns[0]!);
        const weights = (blocksOf(layer.shape) * blockBytes(2560, 32)) / BEAT;
        // The board "sim" gives a port a beat a cycle, and all ports 1.2.
        const rate = ports === 1 ? 1 : 1.2;
        assert.ok(cycles > weights / rate && cycles < weights / rate + 600, `${cycles} cycles for ${weights} beats`);
      });
    });

    test("a factor and shifts that no norm gives act as the largest there are", () => {
      withSimulator({ ...MEMORY, build }, (device) => {
        const layer = layerOf("lm_head", shapeOf(64, 16, 4, 4, 32), 4, 1);
        layer.factors = [
          { m: 2 ** 32 - 1, shift: 10 },
          { m: 65536, shift: 10 },
          { m: 40000, shift: 2 ** 31 - 1 },
          { m: 40000, shift: -(2 ** 31) },
        ];
        const wild = list(4, (token) => ({ ...layer.vectors[token]!, ...layer.factors[token]! }));
        layer.factors = layer.factors.map(({ m, shift }) => ({
          m: Math.min(m, 65535),
          shift: Math.max(-2000, Math.min(shift, 2000)),
        }));
        const { command, before, after, bytes } = multiplyOf(device, layer, patterns[0]!);
        const coded = before.at(-1)!;
        coded.bytes = Buffer.concat(wild.map((v) => codedVector(v, 64, v.m, v.shift)));
        assertEffect(device, [command], bytes, before, after);
      });
    });

    test("FOLLOW: weights and records come ahead, coded vectors and the residual when they are there", () => {
      for (const stall of [0, 100]) {
        withSimulator({ ...MEMORY, build, stall }, (device) => {
          for (const kind of KIND_NAMES) {
            const layer = layerOf(kind, shapeOf(320, 72, 4, 4, 32), 2, 8);
            const { command, before, after, bytes } = multiplyOf(device, layer, patterns[0]!);
            const plain = assertEffect(device, [command], bytes, before, after);
            const followed = assertFollows(device, command, bytes, before, after);
            assert.ok(followed.held > 256, `held ${followed.held} cycles`);
            if (stall > 0) continue;
            // The memory latency of 60 cycles for the table is hidden, and the division behind it.
            const own = followed.cycles - followed.held;
            assert.ok(own < plain.cycles - 70, `${own} cycles, ${plain.cycles} alone`);
          }
        });
      }
    });
  });
}

// ------------------------------------------------------------------------------------------------ what is wrong

describe("a MULTIPLY that cannot be", { skip: skipReason("top-p4") }, () => {
  const { patterns } = BUILDS[1] as Build;
  const shape = shapeOf(320, 72, 4, 4, 32);
  const layer = layerOf("out_proj", shape, 3, 4);
  /** With another table, or a word of it or an address of the command changed. */
  interface Wrong {
    name: string;
    table?: (table: Buffer, device: Device) => void;
    addresses?: [index: number, address: number];
    status: number;
    info: bigint;
    /** Not a beat of rows is written. */
    silent: boolean;
  }
  const far = 2 ** 40;
  const port = (index: number, address: bigint) => (table: Buffer) => {
    table.writeBigUInt64LE(address, BEAT + 8 * index);
  };
  const size = { status: lm.STATUS_SIZE, info: BigInt(lm.DESC_A0), silent: true };
  const window = { status: lm.STATUS_WINDOW, info: BigInt(far), silent: false };
  const wrong: Wrong[] = [
    { name: "no place", table: (t) => void t.writeUInt8(0, 0), ...size },
    { name: "64 places", table: (t) => void t.fill(0).writeUInt8(64, 0), ...size },
    { name: "255 places", table: (t) => void t.fill(0).writeUInt8(255, 0), ...size },
    { name: "a port that is not there, first", table: (t) => void t.writeUInt8(4, 1), ...size },
    { name: "a port that is not there, last", table: (t) => void t.writeUInt8(255, 4), ...size },
    { name: "table outside the windows", addresses: [0, far], ...window, silent: true },
    { name: "coded vectors outside the windows", addresses: [1, far], ...window },
    { name: "rows outside the windows", addresses: [2, far], ...window, silent: true },
    { name: "records outside the windows", addresses: [3, far], ...window },
    { name: "weights of port 0 outside the windows", table: port(0, BigInt(far)), ...window },
    { name: "weights of port 3 outside the windows", table: port(3, BigInt(far)), ...window },
    {
      name: "weights of port 2 off their beats",
      table: port(2, 8n),
      status: lm.STATUS_ALIGNMENT,
      info: 8n,
      silent: false,
    },
  ];

  for (const stall of [0, 200]) {
    test(`ends with its cause, stalls ${stall}/1024, and the next is right`, () => {
      withSimulator({ ...MEMORY, build: "top-p4", stall, seed: 5 }, (device) => {
        for (const { name, table, addresses, status, info, silent } of wrong) {
          const { command, before, after } = multiplyOf(device, layer, patterns[0]!);
          const changed = [...command.addresses!];
          if (addresses) changed[addresses[0]] = addresses[1];
          table?.(before[0]!.bytes as Buffer, device);
          for (const piece of before) device.write(device.dataAddress + piece.at, piece.bytes);
          const error = refusalOf(() => device.run([{ ...command, addresses: changed, layer: 9 }]));
          assert.equal(error.status, status, `${name}: ${error.message}`);
          assert.equal(error.info, info, `${name}: ${error.message}`);
          if (silent) {
            const rows = device.read(device.dataAddress + after[0]!.at, after[0]!.bytes.length);
            assert.deepEqual(rows, before[2]!.bytes, `${name}: rows`);
          }
          check(device, layer, patterns[0]!);
          assertUsable(device);
        }
      });
    });
  }

  test("a port reads its own memory alone", () => {
    const memoryBytes = [MEMORY.memoryBytes, 2 ** 16];
    withSimulator({ ...MEMORY, memoryBytes, board: withPorts(BOARDS.vck190, 4), build: "top-p4" }, (device) => {
      const { command, before } = multiplyOf(device, layer, patterns[0]!);
      for (const piece of before) device.write(device.dataAddress + piece.at, piece.bytes);
      device.run([command]);
      device.reserveWeights(MEMORY.weightBytes, [0, 0, 1, 1]);
      const { status, info } = refusalOf(() => device.run([command]));
      assert.equal(status, lm.STATUS_WINDOW);
      const addresses = [2, 3].map((port) => (before[0]!.bytes as Buffer).readBigUInt64LE(BEAT + 8 * port));
      assert.ok(addresses.includes(info), `${info}`);
    });
  });

  test("places that are not used may hold anything", () => {
    withSimulator({ ...MEMORY, build: "top-p4" }, (device) => {
      const { command, before, after, bytes } = multiplyOf(device, layer, patterns[0]!);
      (before[0]!.bytes as Buffer).fill(0xff, 1 + patterns[0]!.length, BEAT);
      assertEffect(device, [command], bytes, before, after);
    });
  });

  test("garbage of every kind ends too", () => {
    withSimulator({ ...MEMORY, build: "top-p4", stall: 64 }, (device) => {
      const { command, before, bytes } = multiplyOf(device, layer, patterns[2]!);
      assert.ok(groupsOf(shape) > 0);
      for (let seed = 0; seed < 4; seed++) {
        device.write(device.dataAddress, Buffer.alloc(bytes, 0x81 + 37 * seed));
        device.write(device.dataAddress + before[0]!.at, before[0]!.bytes);
        assert.equal(device.run([command]).status, lm.STATUS_OK);
      }
      check(device, layer, patterns[2]!);
    });
  });
});
