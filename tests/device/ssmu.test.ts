/** SSM commands against tests/oracle: u, its header, the whole state, and that nothing else is written. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import type { Device } from "../../host/device/index.ts";
import { withPorts } from "../../host/runtime/ports.ts";
import { initialState, type OracleLayerState, type OracleModel, randomModel, TOKEN_PERIOD } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { skipReason } from "../rtl/support.ts";
import { SSMU_CASES, type SsmuCase } from "../units/cases.ts";
import { modelOf, nothingSeen, randomSegments, wildState } from "../units/scan.ts";
import { caseName } from "../units/support.ts";
import { SsmJob } from "./ssm-layout.ts";
import { noise, refusalOf, withSimulator } from "./support.ts";

const skip = skipReason("accelerator_ssmu");
const BUILDS = ["top-ssmu", "top-ssmu4", "top-ssmu-s4"] as const;
/** With parts of the state on four ports. */
const PARTS = { build: "top-ssmu-s4", board: withPorts(BOARDS.sim, 5) } as const;
/** Chances of a stall of memory, of 1024. */
const STALLS = [0, 200, 800];

interface Sequence {
  model: OracleModel;
  state: OracleLayerState;
  kind: SsmuCase["kind"];
  t: number;
  random: Random;
}

function sequenceOf(model: OracleModel, kind: SsmuCase["kind"], from: number, seed: number): Sequence {
  return { model, state: initialState(model).layers[0]!, kind, t: from, random: new Random(seed) };
}

/** The next tokens of a sequence as one command, in the device's memory. */
function prepare(device: Device, sequence: Sequence, tokens: number, seen = nothingSeen()): SsmJob {
  const { model, random } = sequence;
  const list = Array.from({ length: tokens }, (_, i) => ({
    segments: randomSegments(model, random, sequence.kind),
    t: (sequence.t + i) % TOKEN_PERIOD,
  }));
  const job = new SsmJob(
    device.dataAddress,
    (bytes) => noise(bytes, sequence.t),
    model,
    sequence.state,
    list,
    seen,
    device.build.statePorts,
  );
  sequence.t = (sequence.t + tokens) % TOKEN_PERIOD;
  assert.ok(job.before.length <= device.dataBytes, `${job.before.length} bytes do not fit`);
  device.write(device.dataAddress, job.before);
  return job;
}

/** Compared; returns its cycles. */
function advance(device: Device, sequence: Sequence, tokens: number, seen = nothingSeen()): number {
  const job = prepare(device, sequence, tokens, seen);
  const { cycles } = device.run([job.command], 60_000);
  job.compare(device.read(device.dataAddress, job.before.length), `${tokens} tokens up to ${sequence.t}`);
  return cycles;
}

/** Beside those of the units' tests: few heads, many heads, odd numbers of channels, heads as the rows lag. */
const SHAPES: readonly Omit<SsmuCase, "tokens">[] = [
  ...SSMU_CASES,
  { H: 3, P: 7, N: 3, G: 1, W: 4, normGroups: 1, kind: "calm" },
  { H: 5, P: 11, N: 17, G: 5, W: 3, normGroups: 1, kind: "stress" },
  { H: 6, P: 1, N: 1, G: 2, W: 4, normGroups: 1, kind: "calm" },
  { H: 7, P: 5, N: 20, G: 7, W: 4, normGroups: 7, kind: "wild" },
  { H: 9, P: 13, N: 33, G: 3, W: 2, normGroups: 3, kind: "stress" },
  { H: 7, P: 128, N: 16, G: 1, W: 4, normGroups: 1, kind: "calm" },
  { H: 128, P: 1, N: 4, G: 16, W: 4, normGroups: 16, kind: "stress" },
];

for (const build of BUILDS) {
  describe(`SSM on ${build}`, { skip }, () => {
    const seen = nothingSeen();
    for (const [index, stall] of STALLS.entries()) {
      it(`computes what the oracle does, ${stall} of 1024 stalls`, () => {
        const board = withPorts(BOARDS.sim, build === PARTS.build ? 5 : 1);
        withSimulator({ build, board, stall, seed: stall + 1, memoryBytes: 2 ** 22 }, (device) => {
          const limit = device.build.maxNormGroup;
          SHAPES.forEach((shape, i) => {
            const E = shape.H * shape.P;
            const normGroups = E / shape.normGroups <= limit ? shape.normGroups : 1;
            const model = modelOf({ ...shape, normGroups, tokens: 0 }, 8, 1 + i * 100 + index);
            const sequence = sequenceOf(model, shape.kind, shape.from ?? 0, i + index);
            const work = E * Math.ceil(shape.N / 16);
            for (const tokens of work > 500 ? [2, 1] : [1, 3, 4, 2, 4]) {
              if (shape.kind === "wild") wildState(sequence.state, 8, sequence.random);
              try {
                advance(device, sequence, tokens, seen);
              } catch (error) {
                throw new Error(`${caseName(shape)}: ${(error as Error).message}`);
              }
            }
          });
        });
      });
    }
  });
}

describe("an SSM of the 2.7B shape", { skip }, () => {
  it("takes a cycle for each 16 state values of a lane, and little beside", () => {
    withSimulator({ build: "top-ssmu", memoryBytes: 2 ** 21 }, (device) => {
      const model = randomModel(5, { D: 8, H: 80, P: 64, N: 128, G: 1, W: 4, V: 2, layers: 1 });
      const beside = advance(device, sequenceOf(model, "calm", 7, 1), 1) - 80 * 64 * 8;
      // F and taps, 509 beats; B and C, 2 · (N + 9); the first head; two latencies of memory at the start and two at the end.
      assert.ok(beside > 0 && beside < 1400, `${beside} cycles beside the state's`);
    });
  });
});

/** Two heads of 16 channels a group. */
function plainSequence(groups = 1): Sequence {
  const shape = { D: 8, H: 2 * groups, P: 16, N: 20, G: groups, W: 4, V: 2, layers: 1 };
  return sequenceOf(randomModel(1, { ...shape, normGroups: groups }), "calm", 5, 1);
}

describe("an SSM that cannot be", { skip }, () => {
  const OUTSIDE = 2 ** 40;

  it("ends with an error that names the address, and the next one is right", () => {
    for (const stall of [0, 300]) {
      withSimulator({ build: "top-ssmu4", stall, memoryBytes: 2 ** 18, weightBytes: 4096 }, (device) => {
        const place = (change: (job: SsmJob) => void, status: number, info: number) => {
          const job = prepare(device, plainSequence(), 2);
          change(job);
          const error = refusalOf(() => device.run([job.command]));
          assert.deepEqual([error.status, error.info], [status, BigInt(info)]);
          advance(device, plainSequence(), 2);
        };
        const address = (index: number, value: number) => (job: SsmJob) => {
          job.command.addresses[index] = value;
        };
        for (let index = 0; index < 4; index++) {
          // Of u the vector comes before its header.
          place(address(index, OUTSIDE), lm.STATUS_WINDOW, index === 3 ? OUTSIDE + 64 : OUTSIDE);
        }
        // The last beats of the state, and of u, are behind the memory.
        const end = device.weightAddress;
        place(address(0, end - 64), lm.STATUS_WINDOW, end - 64);
        place(address(3, end - 128), lm.STATUS_WINDOW, end - 64);
        // A state that may only be read: exponents, behind F and taps, are written first.
        place(address(0, end), lm.STATUS_WINDOW, end + 64 + 448);
        const record = (bytes: (old: Buffer) => Buffer) => (job: SsmJob) => {
          const at = device.dataAddress + job.places.record;
          device.write(at, bytes(device.read(at, lm.LAYER_RECORD)));
        };
        place(
          record(() => Buffer.alloc(lm.LAYER_RECORD)),
          lm.STATUS_WINDOW,
          0,
        );
        const constants = (value: number) =>
          record((old) => {
            old.writeBigUInt64LE(BigInt(value), 40);
            return old;
          });
        place(constants(OUTSIDE), lm.STATUS_WINDOW, OUTSIDE);
        place(constants(device.dataAddress + 32), lm.STATUS_ALIGNMENT, device.dataAddress + 32);
      });
    }
  });

  it("has a part of the state outside the windows, or not on a beat: the next one is right", () => {
    withSimulator({ ...PARTS, stall: 300, memoryBytes: 2 ** 18, weightBytes: 4096 }, (device) => {
      for (let part = 0; part < 4; part++) {
        const place = (at: number, status: number) => {
          const job = prepare(device, plainSequence(), 2);
          const table = device.dataAddress + job.places.record + lm.LAYER_RECORD;
          const addresses = device.read(table, 64);
          addresses.writeBigUInt64LE(BigInt(at), 8 * part);
          device.write(table, addresses);
          const error = refusalOf(() => device.run([job.command]));
          assert.deepEqual([error.status, error.info], [status, BigInt(at)]);
          advance(device, plainSequence(), 2);
        };
        place(OUTSIDE, lm.STATUS_WINDOW);
        place(device.dataAddress + 32, lm.STATUS_ALIGNMENT);
        // May only be read
        place(device.weightAddress + 64, lm.STATUS_WINDOW);
      }
    });
  });

  it("has too large a norm group: nothing is written", () => {
    withSimulator({ build: "top-ssmu4", memoryBytes: 2 ** 18 }, (device) => {
      assert.equal(device.build.maxNormGroup, 16);
      const job = prepare(device, plainSequence(3), 1);
      const error = refusalOf(() => device.run([job.command]));
      assert.deepEqual([error.status, error.info], [lm.STATUS_SIZE, BigInt(lm.DESC_A1)]);
      assert.ok(device.read(device.dataAddress, job.before.length).equals(job.before));
      advance(device, plainSequence(), 1);
    });
  });

  it("with any bytes as record, constants, rows and state ends, and writes nothing but state and u", () => {
    withSimulator({ build: "top-ssmu", stall: 100, memoryBytes: 2 ** 18 }, (device) => {
      for (let seed = 1; seed <= 40; seed++) {
        const job = prepare(device, plainSequence(), 1 + (seed % 4));
        const { state, record, u } = job.places;
        const bytes = noise(job.before.length, 100 * seed);
        job.before.copy(bytes, 0, 0, state);
        job.before.copy(bytes, record - 64, record - 64, record);
        // An address that is not one is tested above.
        job.before.copy(bytes, record + 40, record + 40, record + 48);
        device.write(device.dataAddress, bytes);
        device.run([job.command]);
        const found = device.read(device.dataAddress, bytes.length);
        const same = (from: number, to: number) => assert.ok(found.subarray(from, to).equals(bytes.subarray(from, to)));
        same(0, state);
        same(record - 64, u);
        same(bytes.length - 64, bytes.length);
      }
      advance(device, plainSequence(), 4);
    });
  });

  it("is given up anywhere, and the next one is right", () => {
    withSimulator({ build: "top-ssmu", stall: 500, memoryBytes: 2 ** 18 }, (device) => {
      for (let i = 0; i < 40; i++) {
        const job = prepare(device, plainSequence(), 1 + (i % 4));
        const sequence = device.submit([job.command]);
        const until = device.cycles() + BigInt(i * i * 3);
        while (device.cycles() < until && device.completion(sequence) === undefined);
        device.reset();
        if (i % 4 === 0) advance(device, plainSequence(), 2);
      }
    });
  });
});
