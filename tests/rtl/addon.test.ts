/** Testbenches in this process: the same bytes as from their own. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { initialState } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { SSMU_CASES } from "../units/cases.ts";
import { modelOf, randomSegments } from "../units/scan.ts";
import { Unit } from "./addon.ts";
import { Jobs } from "./ssmu-jobs.ts";
import { Request, runBench, STALLS, skipReason } from "./support.ts";

const random = new Random(1);
const list = (length: number, low: number, high: number) => Array.from({ length }, () => random.integer(low, high));

/** Two vectors of K words, in one of the four formats. */
function nquRequest(K: number, format: number, stall: number): Request {
  return new Request(K, stall).words(K, format, 2).words32(list(2 * K, -(2 ** 20), 2 ** 20));
}

/** Two blocks of 8 rows, 64 inputs as four groups of 16 in the format A8, two vectors. */
function laneRequest(stall: number): Request {
  const bytes = 2 * (64 + 2 * 128);
  const request = new Request(3, stall).words(1).words(4, 2, 2, 0, 0, 0, 0, bytes);
  for (let group = 0; group < 8; group++) request.bytes8([...list(16, -127, 127), 1]);
  return request.bytes8(list(bytes, 0, 255));
}

function assertAlike(name: string, requests: readonly Request[]): void {
  const bytes = Buffer.concat(requests.map((request) => request.bytes()));
  const { status, stdout, stderr } = runBench(name, requests);
  assert.equal(status, 0, stderr);
  assert.ok(stdout.length > 0);
  assert.deepEqual(new Unit(name).bytes(bytes), stdout);
}

const skip = skipReason("--addon") || skipReason("nqu") || skipReason("mmu_lane") || skipReason("ssmu");

describe("a unit as an add-on", { skip }, () => {
  for (const stall of STALLS) {
    test(`gives its process's bytes, stalls ${stall}/256`, () => {
      assertAlike("nqu", [nquRequest(320, 0, stall), nquRequest(47, 3, stall), nquRequest(16, 2, stall)]);
      assertAlike("mmu-a8", [laneRequest(stall), laneRequest(stall)]);
    });

    test(`gives the oracle's numbers, in as many cycles as its process, stalls ${stall}/256`, () => {
      const jobs = new Jobs();
      for (const shape of SSMU_CASES.slice(3, 5)) {
        const model = modelOf(shape, 8, 7);
        const state = initialState(model).layers[0]!;
        for (let t = 0; t < 3; t++) jobs.add(model, state, randomSegments(model, random, shape.kind), t);
      }
      const cycles = jobs.run("ssmu", 1, stall, (name, request) => new Unit(name).run(request));
      assert.equal(cycles, jobs.run("ssmu", 1, stall));
    });
  }

  test("is as new at every call, also after a bad request, and beside another", () => {
    const [nqu, lane] = [new Unit("nqu"), new Unit("mmu-a8")];
    const [first, second] = [nquRequest(100, 1, 64).bytes(), laneRequest(64).bytes()];
    const [of, or] = [nqu.bytes(first), lane.bytes(second)];
    const short = first.subarray(0, first.length - 1);
    assert.throws(() => nqu.bytes(short), { code: "2", message: /ends early/ });
    assert.throws(() => nqu.bytes("text" as unknown as Buffer), TypeError);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(nqu.bytes(first), of);
      assert.deepEqual(lane.bytes(second), or);
    }
    assert.equal(nqu.bytes(Buffer.alloc(0)).length, 0);
  });

  test("that hangs is an error, not the end of Node", () => {
    const streams = new Request(1, 0)
      .words(1, ...[4, 4, 2, 2, 32, 2, 11, 11, 11, 11, 11, 0, 0, 0])
      .words(0, 0, 0, 0, 0);
    assert.throws(() => new Unit("ssmu").run(streams), { code: "4", message: /no progress/ });
  });
});
