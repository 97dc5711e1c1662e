/** Convolution and SiLU in logic against tests/oracle: every width and ring slot, x, B and C in one stream. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../oracle/random.ts";
import { conv } from "../oracle/ssmu.ts";
import { pipe } from "./pipe.ts";
import { STALLS, skipReason } from "./support.ts";

const int16 = (random: Random): number =>
  [-32768, 32767, 0, random.integer(-3000, 3000), random.integer(-32768, 32767)][random.integer(0, 4)]!;

interface Channel {
  ring: number[];
  input: number;
  weight: number[];
  bias: number;
  fw: number;
  fraction: number;
  fo: number;
}

/** Weights and bias anywhere within 2^15 · Σ|weight| + |bias| < 2^31, fractions over the loader's ranges. */
function drawChannel(random: Random, width: number): Channel {
  const reach = Math.floor((2 ** 16 - 2 ** 14) / width) >> random.integer(0, 8);
  const weight = Array.from({ length: width }, () => Math.max(-32768, Math.min(32767, random.integer(-reach, reach))));
  return {
    ring: Array.from({ length: width - 1 }, () => int16(random)),
    input: int16(random),
    weight,
    bias: random.integer(-(2 ** 29), 2 ** 29) >> random.integer(0, 29),
    fw: random.integer(-4, 24),
    fraction: random.integer(-4, 24),
    fo: random.integer(0, 16),
  };
}

/** A beat as sim/conv.cpp reads it. What the width does not reach is anything. */
function beatOf({ ring, input, weight, bias, fw, fraction, fo }: Channel, random: Random): number[] {
  const filled = (values: number[], length: number) =>
    Array.from({ length }, (_, i) => values[i] ?? random.integer(-32768, 32767));
  return [input, ...filled(ring, 3), ...filled(weight, 4), bias, fraction + fw - 11, fo];
}

describe("conv in logic", { skip: skipReason("conv") }, () => {
  for (const width of [2, 3, 4]) {
    for (let slot = 0; slot < width - 1; slot++) {
      test(`width ${width}, ring slot ${slot}`, () => {
        const random = new Random(width * 10 + slot);
        const channels = Array.from({ length: 3000 }, () => drawChannel(random, width));
        const beats = channels.map((channel) => beatOf(channel, random));
        const expected = channels.map(({ ring, input, ...channel }) => {
          // The slot that is replaced holds the oldest.
          const taps = [...ring.slice(slot), ...ring.slice(0, slot)];
          return [BigInt(conv(taps, input, channel)), BigInt(input)];
        });
        for (const stall of STALLS) {
          const { cycles, results } = pipe("conv", { seed: slot + 1, stall, before: [width, slot], beats, outputs: 2 });
          assert.deepEqual(results, expected);
          if (stall === 0) assert.equal(cycles, beats.length + 7, "a channel a cycle, and the latency");
        }
      });
    }
  }
});
