/** EMBED through descriptors: a row of codes becomes a residual, byte for byte. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import type { Command, Completion, Device } from "../../host/device/index.ts";
import { clamp, pow2, rsh, toNumber } from "../oracle/primitives.ts";
import { Random } from "../oracle/random.ts";
import { skipReason } from "../rtl/support.ts";
import { assertEffect, assertFollows, int32, type Piece } from "./layouts.ts";
import { assertUsable, noise, refusalOf, withSimulator } from "./support.ts";

const TOP = pow2(30) - 1n;

interface Job {
  codes: number[];
  em: number;
  shift: number;
  stride: number;
}

/** Offsets from the device's first byte of data. Behind the codes, and between the residual's beats, lies noise. */
function layout({ codes, em, shift, stride }: Job) {
  const row = noise(Math.ceil(codes.length / 64) * 64, codes.length);
  row.set(Int8Array.from(codes));
  const residual = codes.map((code) => toNumber(clamp(rsh(BigInt(code * em), shift), -TOP, TOP)));
  const bytes = int32(residual);
  const to = row.length + 64;
  const before: Piece[] = [{ at: 0, bytes: row }];
  return { to, bytes: to + bytes.length * stride + 64, before, after: [{ at: to, bytes, stride }] };
}

function commandOf(device: Device, { codes, em, shift, stride }: Job, from: number, to: number): Command {
  const base = device.dataAddress;
  return {
    opcode: lm.OP_EMBED,
    count: codes.length,
    inputs: em,
    tokens: 1,
    addresses: [base + from, base + to],
    state: shift & 0xffff,
    stride,
  };
}

function check(device: Device, job: Job): Completion {
  const { to, bytes, before, after } = layout(job);
  return assertEffect(device, [commandOf(device, job, 0, to)], bytes, before, after);
}

function rowOf(random: Random, D: number): number[] {
  return Array.from({ length: D }, () => random.integer(-128, 127));
}

/** Around whole beats of codes (64) and of residuals (16), and what models have. */
const LENGTHS = [1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 80, 320, 1023, 2560, 8192];
const SHIFTS = [-32768, -256, -65, -64, -31, -30, -7, -1, 0, 1, 5, 23, 24, 25, 31, 127, 128, 32767];

const skip = skipReason("top");
describe("EMBED", { skip }, () => {
  for (const stall of [0, 100, 700]) {
    it(`rows of any length and scale, ${stall} of 1024 stalls`, () => {
      withSimulator({ stall, seed: stall + 1, timeoutMs: 60_000 }, (device) => {
        const random = new Random(stall);
        for (const D of LENGTHS) {
          for (const stride of D > 1000 ? [1, 3] : [1, 2, 3, 4]) {
            check(device, {
              codes: rowOf(random, D),
              em: random.integer(0, 65535),
              shift: random.integer(-8, 20),
              stride,
            });
          }
        }
        for (const shift of SHIFTS) {
          for (const em of [0, 1, 65535]) check(device, { codes: rowOf(random, 48), em, shift, stride: 1 });
        }
      });
    });
  }

  it("follows what makes its row", () => {
    withSimulator({ stall: 100 }, (device) => {
      const job = { codes: rowOf(new Random(2), 5120), em: 40000, shift: 6, stride: 1 };
      const { to, bytes, before, after } = layout(job);
      assertFollows(device, commandOf(device, job, 0, to), bytes, before, after);
    });
  });

  it("ends outside the windows, and gives the next row", () => {
    for (const stall of [0, 500]) {
      withSimulator({ stall, seed: 5 }, (device) => {
        const end = device.dataAddress + device.dataBytes;
        for (const stride of [1, 4]) {
          const job = { codes: rowOf(new Random(1), 320), em: 40000, shift: 6, stride };
          for (const [bad, place, first] of [
            [0, end, 0],
            [0, 2 ** 48, 0],
            [1, 0, 0],
            [1, end - 64, stride === 1 ? 0 : 256],
          ] as const) {
            const command = commandOf(device, job, 0, layout(job).to);
            const addresses = command.addresses!.with(bad, place);
            const { status, info } = refusalOf(() => device.run([{ ...command, addresses }]));
            assert.deepEqual([status, info], [lm.STATUS_WINDOW, BigInt(place + first)]);
          }
          check(device, job);
        }
        assertUsable(device);
      });
    }
  });

  it("is given up by the watchdog, and works again", () => {
    withSimulator({ watchdogCycles: 500, stall: 100 }, (device) => {
      const job = (D: number): Job => ({ codes: rowOf(new Random(D), D), em: 3, shift: 0, stride: 1 });
      assert.equal(refusalOf(() => check(device, job(8192))).status, lm.STATUS_TIMEOUT);
      check(device, job(80));
    });
  });

  it("takes no longer than docs/units/embed.md says", () => {
    withSimulator({}, (device) => {
      const cycles = (D: number, stride: number) =>
        check(device, { codes: rowOf(new Random(D), D), em: 1, shift: 0, stride }).cycles;
      for (const [D, stride, most] of [
        [2560, 1, 340],
        [2560, 4, 950],
        [5120, 1, 520],
      ] as const) {
        const found = cycles(D, stride);
        assert.ok(found <= most, `D ${D}, stride ${stride}: ${found} cycles`);
      }
    });
  });
});
