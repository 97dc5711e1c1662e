/** lm_stride: which beats are asked for, with which commands, and when. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Request, STALLS, simulate, skipReason } from "./support.ts";

interface Vector {
  address: bigint;
  beats: number;
  stride: number;
  first: number;
}

interface Commanded {
  address: bigint;
  beats: number;
  /** The smallest limit at which it may come. */
  limit: number;
}

const NEVER = 2 ** 32 - 1;

/** Beat by beat. `release`: from this limit on there is none, and what is left of a vector without a stride is one command. */
function expected({ address, beats, stride, first }: Vector, release: number): Commanded[] {
  const commands: Commanded[] = [];
  for (let j = 0; j < beats; j++) {
    const at = address + 64n * BigInt(stride * j);
    const limit = Math.min(first + stride * j + 1, release);
    const last = commands.at(-1);
    if (last && stride === 1 && last.limit === release) last.beats++;
    else commands.push({ address: at, beats: 1, limit });
  }
  return commands;
}

function run(vectors: readonly Vector[], stall: number, release = 0): { commands: Commanded[][]; cycles: number } {
  const request = new Request(stall + vectors.length, stall).words(release > 0 ? 1 : 0, release, vectors.length);
  for (const { address, beats, stride, first } of vectors) request.word64(address).words(beats, stride, first);
  const result = simulate("stride", request);
  const commands = vectors.map(() =>
    Array.from({ length: result.u32() }, () => ({ address: result.i64(), beats: result.u32(), limit: result.u32() })),
  );
  const cycles = result.cycles();
  assert.ok(result.done);
  return { commands, cycles };
}

const BASES = [0n, 64n, 0x3c0n, 0x1_ffff_ff80n];
const all = BASES.flatMap((address, base) =>
  [1, 2, 3, 4, 255].flatMap((stride) =>
    [1, 2, 15, 16, 17, 33].map((beats) => ({ address, beats, stride, first: (base + beats) % Math.min(stride, 5) })),
  ),
);

/** Those whose beats come soon enough where the limit grows by one at a time. */
const slow = all.filter(({ stride }) => stride < 5);

describe("lm_stride", { skip: skipReason("stride") }, () => {
  for (const stall of STALLS) {
    test(`without a bound, stalls ${stall}/256`, () => {
      const { commands } = run(all, stall);
      for (const [i, vector] of all.entries()) assert.deepEqual(commands[i], expected(vector, 0));
    });

    test(`each command as soon as the bound allows it, stalls ${stall}/256`, () => {
      const { commands } = run(slow, stall, NEVER);
      for (const [i, vector] of slow.entries()) assert.deepEqual(commands[i], expected(vector, NEVER));
    });

    test(`a bound that falls, stalls ${stall}/256`, () => {
      for (const release of [1, 5, 16, 20]) {
        const { commands } = run(slow, stall, release);
        for (const [i, vector] of slow.entries()) assert.deepEqual(commands[i], expected(vector, release));
      }
    });
  }

  test("one command a cycle", () => {
    const cycles = (beats: number) => run([{ address: 0n, beats, stride: 2, first: 0 }], 0).cycles;
    assert.equal(cycles(101) - cycles(1), 100);
  });

  test("no beats, no command", () => {
    assert.deepEqual(run([{ address: 0n, beats: 0, stride: 1, first: 0 }], 0).commands, [[]]);
  });
});
