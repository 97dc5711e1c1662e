/** HTU through descriptors: u vectors byte for byte, every shape of the table that the build can hold. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import type { Command, Completion, Device } from "../../host/device/index.ts";
import { type HadamardShape, hadamardSigns, type OracleHadamard } from "../oracle/hadamard.ts";
import { Random } from "../oracle/random.ts";
import { columnsOf, split, transformed } from "../rtl/htu.ts";
import { skipReason } from "../rtl/support.ts";
import { HTU_CASES } from "../units/cases.ts";
import { inputs } from "../units/htu.ts";
import { assertEffect, assertFollows, int32, type Piece, type UHeader, uVector } from "./layouts.ts";
import { assertUsable, refusalOf, withSimulator } from "./support.ts";

const MAX_M = 64;
const MAX_K = 7;

interface Job {
  hadamard: OracleHadamard;
  headers: UHeader[];
  /** A vector for each token, and what becomes of it. */
  vectors: Int32Array[];
  expected: Int32Array[];
}

/** The shape of a table's row as the device gets it. */
function jobOf(shape: HadamardShape, seed: number, tokens = 4): Job {
  const random = new Random(seed);
  const whole = { ...shape, signs: hadamardSigns(shape.m) };
  const vectors = inputs(whole, random).slice(0, tokens);
  const headers = vectors.map(() => ({
    m: random.integer(0, 2 ** 32 - 1),
    s: random.integer(-(2 ** 31), 2 ** 31 - 1),
    sum: BigInt(random.integer(0, 2 ** 52)),
  }));
  const expected = vectors.map((u) => transformed(u, whole, random));
  return { hadamard: split(whole, MAX_K), headers, vectors, expected };
}

/** Offsets from the device's first byte of data; a beat lies between them all. */
function layout({ hadamard, headers, vectors, expected }: Job) {
  const signs = int32(columnsOf(hadamard, 2));
  const from = signs.length + 64;
  const all = (of: readonly Int32Array[]) => Buffer.concat(of.map((values, t) => uVector(headers[t]!, values)));
  const u = all(vectors);
  const to = from + u.length + 64;
  const before: Piece[] = [
    { at: 0, bytes: signs },
    { at: from, bytes: u },
  ];
  return { from, to, bytes: to + u.length + 64, before, after: [{ at: to, bytes: all(expected) }] };
}

function commandOf(device: Device, { hadamard, vectors }: Job, from: number, to: number): Command {
  const base = device.dataAddress;
  return {
    opcode: lm.OP_HTU,
    count: vectors[0]!.length,
    inputs: hadamard.m,
    tokens: vectors.length,
    addresses: [base + from, base + to, base],
    heads: hadamard.blocks,
    headDim: hadamard.k,
  };
}

function check(device: Device, job: Job): Completion {
  const { from, to, bytes, before, after } = layout(job);
  return assertEffect(device, [commandOf(device, job, from, to)], bytes, before, after);
}

const SHAPES = HTU_CASES.filter(({ m, k }) => m * 2 ** Math.max(0, k - MAX_K) <= MAX_M);
const skip = skipReason("top");

describe("HTU", { skip }, () => {
  // Long vectors: two tokens tell as much as four.
  const jobs =
    skip === false ? SHAPES.map((shape, i) => jobOf(shape, i, shape.m << shape.k > 1024 ? 1 + (i % 2) : 4)) : [];
  for (const stall of [0, 100, 700]) {
    it(`every shape, ${stall} of 1024 stalls`, () => {
      withSimulator({ stall, seed: stall + 1, timeoutMs: 60_000 }, (device) => {
        assert.deepEqual([device.build.maxOrder, device.build.maxLog2], [MAX_M, MAX_K]);
        for (const job of jobs) check(device, job);
      });
    });
  }

  it("follows what makes its vectors", () => {
    withSimulator({ stall: 100 }, (device) => {
      const job = jobOf({ blocks: 1, m: 12, k: 5 }, 3);
      const { from, to, bytes, before, after } = layout(job);
      assertFollows(device, commandOf(device, job, from, to), bytes, before, after);
    });
  });

  it("ends outside the windows, and turns the next vector", () => {
    for (const stall of [0, 500]) {
      withSimulator({ stall, seed: 5 }, (device) => {
        const job = jobOf({ blocks: 2, m: 20, k: 2 }, 1);
        const { from, to } = layout(job);
        const good = commandOf(device, job, from, to);
        const end = device.dataAddress + device.dataBytes;
        for (const [bad, place] of [
          [0, 2 ** 40],
          [0, end - 2 * 64],
          [1, end - 5 * 64],
          [1, 2 ** 40],
          [2, end],
          [2, end - 64],
        ] as const) {
          const command = { ...good, addresses: good.addresses!.with(bad, place) };
          const { status, info } = refusalOf(() => device.run([command]));
          // Words come before their header
          const first = BigInt(bad === 2 ? place : place + 64);
          assert.deepEqual([status, info], [lm.STATUS_WINDOW, first]);
        }
        check(device, job);
        assertUsable(device);
      });
    }
  });

  it("is given up by the watchdog, and works again", () => {
    withSimulator({ watchdogCycles: 500, stall: 100 }, (device) => {
      assert.equal(refusalOf(() => check(device, jobOf({ blocks: 1, m: 20, k: 5 }, 1))).status, lm.STATUS_TIMEOUT);
      check(device, jobOf({ blocks: 1, m: 12, k: 2 }, 1, 1));
    });
  });

  it("takes no longer than docs/units/htu.md says", () => {
    withSimulator({}, (device) => {
      for (const [shape, most] of [
        [{ blocks: 1, m: 20, k: 5 }, 724],
        [{ blocks: 1, m: 12, k: 7 }, 1772],
        [{ blocks: 1, m: 20, k: 8 }, 5580],
        [{ blocks: 640, m: 1, k: 0 }, 648],
      ] as const) {
        const E = (shape.blocks * shape.m) << shape.k;
        for (const tokens of [1, 4]) {
          const found = check(device, jobOf(shape, 1, tokens)).cycles;
          assert.ok(
            found <= tokens * (most + 2 + E / 256) + 250,
            `m ${shape.m}, k ${shape.k}, ${tokens} tokens: ${found} cycles`,
          );
        }
      }
    });
  });
});
