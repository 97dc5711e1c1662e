/** The queues, and with it the way from a test to a verilated module and back. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Request, runBench, STALLS, simulate, skipReason } from "./support.ts";

const skip = skipReason("fifo");
const values = Array.from({ length: 1000 }, (_, i) => Math.imul(i, 0x9e3779b1));

/** How many cycles a word takes, and how many words there is room for. */
const QUEUES = [
  { name: "fifo", latency: 1, room: 16 },
  { name: "queue", latency: 2, room: 17 },
];

describe("lm_fifo and lm_queue", { skip }, () => {
  for (const { name, latency, room } of QUEUES)
    for (const stall of STALLS)
      test(`${name}: order is kept, stalls ${stall}/256`, () => keepsOrder(name, stall, latency, room));

  function keepsOrder(name: string, stall: number, latency: number, room: number): void {
    const request = new Request(7, stall).words(values.length).words32(values);
    const result = simulate(name, [request, request]);
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(result.words32(values.length), values);
      const cycles = result.cycles();
      const most = result.u32();
      if (stall === 0) assert.equal(cycles, values.length + latency, "latency, and one word a cycle");
      if (stall === 200) assert.equal(most, room, "was full once");
    }
    assert.ok(result.done);
  }

  test("a request that ends early is an error, not a hang", () => {
    const { status, stderr } = runBench("fifo", new Request(1, 0).words(100));
    assert.equal(status, 2);
    assert.match(stderr, /ends early/);
  });
});
