/** Conversations on a device that fails, that is too small, or that is gone: clear errors, and no token lost or counted twice. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { Device, type DeviceOptions } from "../../host/device/index.ts";
import type { Partition } from "../../host/runtime/accelerator.ts";
import { Model } from "../../host/runtime/model.ts";
import { portPattern, portShares } from "../../host/runtime/ports.ts";
import type { Session } from "../../host/runtime/session.ts";
import { type RandomShape, randomModel, TOKEN_PERIOD } from "../oracle/model.ts";
import { forged } from "../runtime/forged.ts";
import { emptyDirectory, newPath, writeModel } from "../runtime/support.ts";
import { assertSame } from "../units/support.ts";
import { DeviceModel, type DeviceModelOptions } from "./model.ts";
import { failureOf, refusalOf, skipModels } from "./support.ts";

const SHAPE: RandomShape = { D: 24, H: 4, P: 8, N: 16, G: 2, W: 4, V: 40, layers: 2, normGroups: 2 };
const PARTITIONS: readonly Partition[] = ["fused", "split"];

function directory(shape: RandomShape, seed = 1): string {
  const dir = emptyDirectory();
  writeModel(randomModel(seed, shape), dir);
  return dir;
}

const dir = directory(SHAPE);

/** A model on a device, and the same without one. */
function pair(
  partition: Partition,
  options: DeviceModelOptions = {},
  deviceOptions: DeviceOptions = {},
): { memory: DeviceModel; model: Model; plain: Model } {
  const memory = new DeviceModel({ bytes: 2 ** 20, ...options });
  const model = Model.load(dir, { device: new Device(memory, deviceOptions), partition });
  return { memory, model, plain: Model.load(dir) };
}

const SOME = [3, 14, 15, 9, 26, 5, 35];

/** Feeds both; the same logits. */
function feed(a: { model: Model; session: Session }, b: { model: Model; session: Session }, tokens: number[]): void {
  for (const { session } of [a, b]) session.prefill(tokens);
  assertSame(a.model.rawLogits(), b.model.rawLogits(), "logits");
}

/** Everything there is of a conversation. */
function saved(session: Session): Buffer {
  const path = newPath();
  session.save(path, undefined);
  return readFileSync(path);
}

describe("a command that fails", () => {
  for (const partition of PARTITIONS) {
    for (const tokens of [[7], [7, 8, 9, 10]]) {
      it(`${partition}, any of a pass of ${tokens.length}: the session is what it was, and goes on`, () => {
        const { memory, model, plain } = pair(partition);
        const [session, expected] = [model.session(), plain.session()];
        const both = [
          { model, session },
          { model: plain, session: expected },
        ] as const;
        feed(...both, SOME);
        const before = memory.commands;
        feed(...both, tokens);
        const commands = memory.commands - before;
        assert.ok(commands >= 7, String(commands));
        for (let k = 0; k < commands; k++) {
          const at = memory.commands + k;
          memory.fail = (command) => (command === at ? lm.STATUS_BUS : undefined);
          const error = refusalOf(() => session.prefill(tokens));
          assert.deepEqual([error.status, error.exit], [lm.STATUS_BUS, "device"]);
          assert.equal(session.tokens, expected.tokens);
          // Looked at in some rounds, in others simply fed again
          if (k % 2 === 0) assert.deepEqual(saved(session), saved(expected), `after command ${k}`);
          feed(...both, tokens);
        }
        assert.deepEqual(saved(session), saved(expected));
      });
    }

    it(`${partition}: whoever comes next, is not disturbed`, () => {
      const { memory, model, plain } = pair(partition);
      const [first, second] = [model.session(), model.session()].map((session) => ({ model, session }));
      const [one, two] = [plain.session(), plain.session()].map((session) => ({ model: plain, session }));
      feed(first!, one!, SOME);
      const at = memory.commands + 3;
      memory.fail = (command) => (command === at ? lm.STATUS_TIMEOUT : undefined);
      refusalOf(() => first!.session.feed(1));
      memory.fail = undefined;
      feed(second!, two!, [1, 2]);
      feed(first!, one!, [3]);
      assert.deepEqual(saved(first!.session), saved(one!.session));
      assert.deepEqual(saved(second!.session), saved(two!.session));
    });
  }

  it("in a long prompt: what was consumed before it counts, once", () => {
    const { memory, model, plain } = pair("fused", { tokens: 4 });
    const [session, expected] = [model.session(), plain.session()];
    const prompt = Array.from({ length: 40 }, (_, i) => (i * 7) % 40);
    // In the sixth pass of four
    memory.fail = (command) => (command === 6 * 16 ? lm.STATUS_BUS : undefined);
    refusalOf(() => session.prefill(prompt));
    assert.ok(session.tokens > 0 && session.tokens < 40 && session.tokens % 4 === 0, String(session.tokens));
    expected.prefill(prompt.slice(0, session.tokens));
    assert.deepEqual(saved(session), saved(expected));
  });

  it("after hundreds of tokens: nothing is computed again that was read back before", () => {
    const { memory, model, plain } = pair("split");
    const [session, expected] = [model.session(), plain.session()];
    const both = [
      { model, session },
      { model: plain, session: expected },
    ] as const;
    for (let i = 0; i < 60; i++) feed(...both, SOME);
    assert.ok(session.tokens > 256 + 128);
    memory.fail = () => lm.STATUS_BUS;
    refusalOf(() => session.feed(1));
    memory.fail = undefined;
    assert.deepEqual(saved(session), saved(expected));
    feed(...both, SOME);
  });

  it("where the token index begins anew, and where the dither changes", () => {
    for (const start of [TOKEN_PERIOD - 6, 250]) {
      const { memory, model, plain } = pair("fused");
      const [session, expected] = [model.session(), plain.session()];
      const path = newPath();
      session.save(path, undefined);
      for (const one of [session, expected]) one.restore(forged(path, 0, 4, start));
      const both = [
        { model, session },
        { model: plain, session: expected },
      ] as const;
      feed(...both, [1, 2, 3]);
      feed(...both, SOME);
      memory.fail = () => lm.STATUS_BUS;
      refusalOf(() => session.prefill(SOME));
      memory.fail = undefined;
      assert.equal(session.tokens, (start + 3 + SOME.length) % TOKEN_PERIOD);
      assert.deepEqual(saved(session), saved(expected));
      feed(...both, SOME);
    }
  });
});

describe("a device that does not answer", () => {
  it("is reset before it is used again", () => {
    const { memory, model, plain } = pair("fused", {}, { timeoutMs: 100 });
    const [session, expected] = [model.session(), plain.session()];
    const both = [
      { model, session },
      { model: plain, session: expected },
    ] as const;
    feed(...both, SOME);
    memory.deaf = true;
    assert.match(failureOf(() => session.feed(1)).message, /no answer from the device: waited 100 ms for command/);
    assert.match(failureOf(() => session.feed(1)).message, /for the doorbell to be heard/);
    memory.deaf = false;
    feed(...both, [1]);
    assert.deepEqual(saved(session), saved(expected));
  });

  it("and has ended: its conversations can still be saved", () => {
    let ended: string | undefined;
    const { memory, model, plain } = pair("split", {}, { alive: () => ended });
    const [session, expected] = [model.session(), plain.session()];
    feed({ model, session }, { model: plain, session: expected }, SOME);
    ended = "it is gone";
    memory.deaf = true;
    const error = failureOf(() => session.feed(1));
    assert.match(error.message, /^it is gone, while waiting for command/);
    assert.equal(error.exit, "device");
    assert.deepEqual(saved(session), saved(expected));
  });
});

describe("a memory that stops to answer", { skip: skipModels() }, () => {
  for (const partition of PARTITIONS) {
    it(`${partition}: the simulated device gives up, and the session is what it was`, () => {
      const simulator = { hangAt: 60_000, timeoutMs: 300 };
      const model = Model.load(dir, { device: "rtl", partition, simulator });
      const plain = Model.load(dir);
      const [session, expected] = [model.session(), plain.session()];
      const error = failureOf(() => {
        for (let i = 0; ; i = (i + 1) % 40) session.feed(i);
      });
      assert.match(error.message, /no answer from the device: waited 300 ms for command \d+ \(\w+/);
      assert.ok(session.tokens > 2, String(session.tokens));
      for (let i = 0; i < session.tokens; i++) expected.feed(i % 40);
      assert.deepEqual(saved(session), saved(expected));
      assert.equal(failureOf(() => session.feed(1)).exit, "device");
      model.close();
    });
  }
});

describe("a closed model", () => {
  it("has its conversations, but feeds them no more", () => {
    const { model, plain } = pair("fused");
    const [session, expected] = [model.session(), plain.session()];
    feed({ model, session }, { model: plain, session: expected }, SOME);
    model.close();
    model.close();
    assert.deepEqual(saved(session), saved(expected));
    const error = failureOf(() => session.feed(1));
    assert.deepEqual([error.exit, error.message], ["usage", "the model's device is closed"]);
  });
});

describe("a build", () => {
  const small: RandomShape = { ...SHAPE, wide: [] };
  const cases: [what: string, shape: RandomShape, build: Record<number, number>, text: RegExp][] = [
    ["without units", small, { [lm.REG_BUILD_UNITS]: 7 }, /units: .*\(expected .*MMU, SSMU, HTU, NQU.*, found .*MMU\)/],
    ["and a 16-bit state", { ...small, stateBits: 16 }, {}, /state_bits: .*expected at most 8, found 16/],
    [
      "of narrow multipliers",
      { ...small, activationBits: 6 },
      { [lm.REG_BUILD_ACT_BITS]: 5 },
      /activation_bits: .* 5, f.* 6/,
    ],
    ["of short vectors", small, { [lm.REG_BUILD_MAX_INPUTS]: 16 }, /d_model: .*at most 16, found 24/],
    ["of short inner vectors", small, { [lm.REG_BUILD_MAX_INPUTS]: 24 }, /d_inner: .*at most 24, found 32/],
    ["of few heads", small, { [lm.REG_BUILD_MAX_HEADS]: 3 }, /num_heads: .*at most 3, found 4/],
    ["of small heads", small, { [lm.REG_BUILD_MAX_HEAD_DIM]: 7 }, /head_dim: .*at most 7, found 8/],
    ["of a small state", small, { [lm.REG_BUILD_MAX_STATE]: 15 }, /state_size: .*at most 15, found 16/],
    ["of one group", small, { [lm.REG_BUILD_MAX_GROUPS]: 1 }, /n_groups: .*at most 1, found 2/],
    ["of few words", small, { [lm.REG_BUILD_MAX_WORDS]: 1 }, /words of the state: .*at most 1, found 2/],
    ["of a short ring", small, { [lm.REG_BUILD_MAX_TAPS]: 287 }, /ring: .*at most 287, found 288/],
    ["of small norm groups", small, { [lm.REG_BUILD_MAX_NORM_GROUP]: 15 }, /norm group: .*at most 15, found 16/],
    ["of few rows", small, { [lm.REG_BUILD_MAX_ROWS]: 64 }, /rows of a matrix: .*at most 64, found \d+/],
    [
      "of a small Hadamard matrix",
      { ...small, H: 12, P: 16 },
      { [lm.REG_BUILD_MAX_ORDER]: 16, [lm.REG_BUILD_MAX_LOG2]: 3 },
      /order of the Hadamard matrix: .*at most 16, found 24/,
    ],
  ];
  for (const [what, shape, build, text] of cases) {
    it(`${what} says so`, () => {
      const own = directory(shape);
      const device = new Device(new DeviceModel({ build }));
      const error = failureOf(() => Model.load(own, { device }));
      assert.match(error.message, text);
      assert.equal(error.exit, "unsupported");
      assert.equal(error.detail.file, own);
    });
  }

  it("that has only MMU and SSMU, and no order that is large enough, does for the split partition", () => {
    const build = { [lm.REG_BUILD_UNITS]: 15, [lm.REG_BUILD_MAX_ORDER]: 1, [lm.REG_BUILD_MAX_LOG2]: 0 };
    const { model, plain } = pair("split", { build });
    feed({ model, session: model.session() }, { model: plain, session: plain.session() }, SOME);
  });

  it("whose limits the model just keeps, is enough", () => {
    const build = {
      ...{ [lm.REG_BUILD_ACT_BITS]: 5, [lm.REG_BUILD_MAX_INPUTS]: 32, [lm.REG_BUILD_MAX_HEADS]: 4 },
      ...{ [lm.REG_BUILD_MAX_HEAD_DIM]: 8, [lm.REG_BUILD_MAX_STATE]: 16, [lm.REG_BUILD_MAX_GROUPS]: 2 },
      ...{ [lm.REG_BUILD_MAX_WORDS]: 2, [lm.REG_BUILD_MAX_TAPS]: 288, [lm.REG_BUILD_MAX_NORM_GROUP]: 16 },
      ...{ [lm.REG_BUILD_MAX_ORDER]: 1, [lm.REG_BUILD_MAX_LOG2]: 5 },
    };
    const { model, plain } = pair("fused", { build });
    feed({ model, session: model.session() }, { model: plain, session: plain.session() }, SOME);
  });

  it("with too little memory says how much it takes", () => {
    const bytes = 72 * 1024;
    const device = new Device(new DeviceModel({ bytes }));
    const error = failureOf(() => Model.load(dir, { device }));
    assert.match(error.message, /memory is too small.*expected (at least )?\d+ bytes, found \d+/);
    assert.equal(error.exit, "device");
  });

  it("has one model at a time", () => {
    const device = new Device(new DeviceModel());
    const first = Model.load(dir, { device });
    assert.equal(failureOf(() => Model.load(dir, { device })).exit, "usage");
    first.close();
    const second = Model.load(dir, { device });
    const plain = Model.load(dir);
    feed({ model: second, session: second.session() }, { model: plain, session: plain.session() }, SOME);
  });

  it("leaves nothing to do for threads", () => {
    const device = new Device(new DeviceModel());
    const error = failureOf(() => Model.load(dir, { device, threads: 2 }));
    assert.deepEqual([error.exit, error.detail.found], ["usage", 2]);
  });
});

describe("blocks are dealt out to ports", () => {
  it("in turn where all are alike, else by their bandwidth", () => {
    assert.deepEqual([...portPattern([14])], [0]);
    assert.deepEqual([...portPattern([14, 14, 14, 14])], [0, 1, 2, 3]);
    const pattern = [...portPattern([20, 10, 10])];
    assert.deepEqual(
      [pattern.length, ...[0, 1, 2].map((port) => pattern.filter((p) => p === port).length)],
      [4, 2, 1, 1],
    );
  });

  it("so that all memories are done together, port 0's other traffic counted", () => {
    const memory = (name: string, gigabytes_per_second: number) => ({
      ...{ name, gigabytes_per_second, address: 0, bytes: 4096, efficiency: 0.5, latency_ns: 100 },
    });
    const port = (name: string) => ({ memory: name, gigabytes_per_second: 10, outstanding: 16 });
    // a gives its two ports 12 together, b its one 10
    const memories = [memory("a", 24), memory("b", 40)];
    const board = { clock_mhz: 300, registers: { address: 0 }, memories, ports: [port("a"), port("a"), port("b")] };
    assert.deepEqual(portShares(board, 220, []), [60, 60, 100]);
    assert.deepEqual(portShares(board, 200, [20]), [40, 60, 100]);
    // More than its part: the other port of the memory has less
    assert.deepEqual(portShares(board, 140, [80]), [0, 40, 100]);
  });
});

describe("the model of the device", () => {
  it("finds a command that does not wait for what it reads", () => {
    const run = (copyFlags: number, htuFlags: number) => {
      const device = new Device(new DeviceModel());
      const [from, to] = [device.dataAddress, device.dataAddress + 4096];
      const copy = { opcode: lm.OP_COPY, count: 128, addresses: [from, to] };
      const htu = { opcode: lm.OP_HTU, count: 16, inputs: 1, tokens: 1, heads: 16, addresses: [to, to + 4096, from] };
      device.run([copy, { ...copy, flags: copyFlags }, { ...htu, flags: htuFlags }]);
    };
    run(0, lm.FLAG_FOLLOW);
    run(0, lm.FLAG_WAIT);
    assert.throws(() => run(0, 0), /command 2 does not wait for command 0/);
    assert.throws(() => run(lm.FLAG_FOLLOW, 0), /FOLLOW behind a command of the same unit/);
  });

  it("keeps to its windows", () => {
    const device = new Device(new DeviceModel(), { weightBytes: 4096 });
    const copy = { opcode: lm.OP_COPY, count: 64, addresses: [device.weightAddress, device.weightAddress + 64] };
    assert.equal(refusalOf(() => device.run([copy])).status, lm.STATUS_WINDOW);
    device.run([{ ...copy, addresses: [device.weightAddress, device.dataAddress] }]);
  });
});
