/** Whatever goes wrong between host and device ends in an error that says what, and leaves a device that can be used. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import {
  buildSimulation,
  type Command,
  Device,
  DeviceMemory,
  encode,
  Simulator,
  simulatorPath,
} from "../../host/device/index.ts";
import { skipReason } from "../rtl/support.ts";
import { assertUsable, copy, failureOf, noise, refusalOf, withSimulator } from "./support.ts";

const skip = skipReason("top");
const bare = skipReason("top-bare");
const MULTIPLY: Command = {
  opcode: lm.OP_MULTIPLY,
  count: 64,
  inputs: 320,
  tokens: 1,
  format: 4,
  planes: 1,
  weightGroup: 32,
};
const SSM: Command = {
  opcode: lm.OP_SSM,
  tokens: 1,
  format: 8,
  heads: 10,
  headDim: 64,
  state: 128,
  groups: 1,
  conv: 4,
};

describe("a bad command", { skip }, () => {
  const bad: [name: string, make: (d: Device) => Command, status: number, text: RegExp][] = [
    ["unknown opcode", () => ({ opcode: 0x77 }), lm.STATUS_OPCODE, /unknown opcode: found 0x77/],
    ["unknown flag", () => ({ opcode: lm.OP_NOP, flags: 128 }), lm.STATUS_FLAGS, /unknown flag: field flags/],
    [
      "misaligned source",
      (d) => copy(d.dataAddress + 32, d.dataAddress + 4096, 64),
      lm.STATUS_ALIGNMENT,
      /multiple of 64: field a0/,
    ],
    ["misaligned target", (d) => copy(d.dataAddress, d.dataAddress + 4097, 64), lm.STATUS_ALIGNMENT, /field a1/],
    [
      "source outside the windows",
      (d) => copy(2 ** 40, d.dataAddress, 64),
      lm.STATUS_WINDOW,
      /outside the windows .*0x10000000000/,
    ],
    ["target outside the windows", (d) => copy(d.dataAddress, 2 ** 40, 64), lm.STATUS_WINDOW, /0x10000000000/],
    ["target before the window", (d) => copy(d.dataAddress, 0, 64), lm.STATUS_WINDOW, /address 0x0/],
    [
      "end behind the window",
      (d) => copy(d.dataAddress, d.dataAddress + d.dataBytes - 64, 128),
      lm.STATUS_WINDOW,
      /address/,
    ],
    [
      "end behind the address space",
      (d) => copy(0xffffffffffffffc0n, d.dataAddress, 128),
      lm.STATUS_WINDOW,
      /0xffffffffffffffc0/,
    ],
    ["target that may only be read", (d) => copy(d.dataAddress, d.weightAddress, 64), lm.STATUS_WINDOW, /address/],
    ["no bytes", (d) => copy(d.dataAddress, d.dataAddress + 4096, 0), lm.STATUS_SIZE, /size .*: field count/],
    ["half a beat", (d) => copy(d.dataAddress, d.dataAddress + 4096, 96), lm.STATUS_SIZE, /field count/],
    [
      "too many bytes",
      (d) => copy(d.dataAddress, d.dataAddress + 4096, d.build.maxCopy + 64),
      lm.STATUS_SIZE,
      /field count/,
    ],
    ["overlap", (d) => copy(d.dataAddress, d.dataAddress + 64, 128), lm.STATUS_OVERLAP, /overlap: field a1/],
    ["rows that are no blocks", () => ({ ...MULTIPLY, count: 12 }), lm.STATUS_SIZE, /field count/],
    ["too many inputs", (d) => ({ ...MULTIPLY, inputs: d.build.maxInputs + 1 }), lm.STATUS_SIZE, /field inputs/],
    ["too many tokens", (d) => ({ ...MULTIPLY, tokens: d.build.tokens + 1 }), lm.STATUS_SIZE, /field tokens/],
    ["no such format", () => ({ ...MULTIPLY, format: 7 }), lm.STATUS_FORMAT, /activation bits.*7 bits/],
    ["no such weight group", () => ({ ...MULTIPLY, weightGroup: 64 }), lm.STATUS_SIZE, /field weight_group/],
    ["three planes", () => ({ ...MULTIPLY, planes: 3 }), lm.STATUS_SIZE, /field planes/],
    ["no such route", () => ({ ...MULTIPLY, route: 3 }), lm.STATUS_SIZE, /field route/],
    ["too many heads", (d) => ({ ...SSM, heads: d.build.maxHeads + 1 }), lm.STATUS_SIZE, /field heads/],
    ["no head", () => ({ ...SSM, heads: 0 }), lm.STATUS_SIZE, /field heads/],
    ["too wide a head", (d) => ({ ...SSM, headDim: d.build.maxHeadDim + 1 }), lm.STATUS_SIZE, /field head_dim/],
    ["too large a state", (d) => ({ ...SSM, state: d.build.maxState + 1 }), lm.STATUS_SIZE, /field state/],
    ["too many groups", (d) => ({ ...SSM, groups: d.build.maxGroups + 1 }), lm.STATUS_SIZE, /field groups/],
    ["a convolution of 5", () => ({ ...SSM, conv: 5 }), lm.STATUS_SIZE, /field conv/],
    ["too long a transform", () => ({ opcode: lm.OP_HTU, tokens: 1, count: 8193 }), lm.STATUS_SIZE, /field count/],
    ["no values", () => ({ opcode: lm.OP_NQU, tokens: 1, format: 4 }), lm.STATUS_SIZE, /field count/],
  ];

  it("is answered with its cause, its number and its layer, changes nothing, and leaves the device usable", () => {
    withSimulator({ weightBytes: 4096 }, (device) => {
      for (const [name, make, status, text] of bad) {
        const before = device.read(device.dataAddress, 8192);
        const errors = device.memory.readRegister(lm.REG_ERRORS);
        const error = refusalOf(() => device.run([{ opcode: lm.OP_NOP }, { ...make(device), layer: 3 }]));
        assert.equal(error.status, status, `${name}: ${error.message}`);
        assert.match(error.message, text, name);
        assert.match(error.message, /^command \d+ \(.*, layer 3\): /, name);
        assert.deepEqual(device.read(device.dataAddress, 8192), before, name);
        assert.equal(device.memory.readRegister(lm.REG_ERRORS), errors + 1, name);
        assertUsable(device);
      }
    });
  });

  it("stops what is behind it, not what was before", () => {
    withSimulator({}, (device) => {
      const [a, b, c] = [0, 4096, 8192].map((offset) => device.dataAddress + offset);
      device.write(a!, noise(64, 1));
      device.write(c!, Buffer.alloc(64));
      const error = refusalOf(() => device.run([copy(a!, b!, 64), { opcode: 99 }, copy(a!, c!, 64)]));
      assert.equal(error.status, lm.STATUS_OPCODE);
      assert.deepEqual(device.read(b!, 64), noise(64, 1));
      assert.deepEqual(device.read(c!, 64), Buffer.alloc(64));
      assertUsable(device);
    });
  });

  it("of a unit that this build lacks is refused", { skip: bare }, () => {
    withSimulator({ build: "top-bare" }, (device) => {
      for (const command of [MULTIPLY, SSM]) {
        assert.equal(refusalOf(() => device.run([command])).status, lm.STATUS_ABSENT);
        assertUsable(device);
      }
    });
  });

  it("is refused when memory answers with an error", () => {
    withSimulator({}, (device, { memory }) => {
      // More than there is
      const end = device.weightAddress;
      device.grant(2, device.dataAddress, end + 8192, lm.WINDOW_FLAG_READ | lm.WINDOW_FLAG_WRITE);
      memory.writeRegister(lm.REG_WINDOW + 3 * lm.WINDOW_STRIDE + lm.WINDOW_FLAGS, 0);
      for (const command of [copy(end, device.dataAddress, 64), copy(device.dataAddress, end, 64)]) {
        const error = refusalOf(() => device.run([command]));
        assert.equal(error.status, lm.STATUS_BUS, error.message);
        assert.match(error.message, new RegExp(`memory answered with an error: address 0x${end.toString(16)}`));
        assertUsable(device);
      }
    });
  });
});

describe("the ring", { skip }, () => {
  it("does not take a descriptor with a wrong check word, or of another lap", () => {
    withSimulator({}, (device) => {
      for (let i = 0; i < 40; i++) device.run([{ opcode: lm.OP_NOP }]);
      const torn = encode({ opcode: lm.OP_NOP }, 40);
      torn[9]! ^= 1;
      assert.equal(refusalOf(() => device.wait(device.submitRaw([torn]))).status, lm.STATUS_CHECK);
      assertUsable(device);
      for (const distance of [-16, -1, 1]) {
        const next = device.submit([{ opcode: lm.OP_NOP }]) + 1;
        const stale = encode({ opcode: lm.OP_NOP }, next + distance);
        const error = refusalOf(() => device.wait(device.submitRaw([stale])));
        assert.equal(error.status, lm.STATUS_SEQUENCE);
        assert.match(error.message, /stale, repeated or looping descriptor: expected number \d+/);
        assertUsable(device);
      }
    });
  });

  it("does not run in a loop: a doorbell beyond its size is an error", () => {
    withSimulator({}, (device, { memory }) => {
      const head = memory.readRegister(lm.REG_HEAD);
      memory.writeRegister(lm.REG_HEAD, head + 17);
      const error = refusalOf(() => device.wait(head));
      assert.equal(error.status, lm.STATUS_RING);
      assertUsable(device);
    });
  });

  it("in a place where it may not be, or of a bad size, is an error", () => {
    const faults: [register: number, value: number][] = [
      [lm.REG_RING_LOG2, 13],
      [lm.REG_RING_LOG2, 1],
      [lm.REG_RING_LOW, 4096 + 32],
      [lm.REG_RING_HIGH, 5],
      [lm.REG_COMPLETIONS_LOW, 4096 + 4],
      [lm.REG_COMPLETIONS_HIGH, 5],
    ];
    withSimulator({}, (device, { memory }) => {
      for (const [register, value] of faults) {
        const good = memory.readRegister(register);
        memory.writeRegister(register, value);
        const error = refusalOf(() => device.run([{ opcode: lm.OP_NOP }]));
        assert.equal(error.status, lm.STATUS_RING, `register 0x${register.toString(16)}: ${error.message}`);
        memory.writeRegister(register, good);
        device.reset();
        assertUsable(device);
      }
    });
  });

  it("takes any number of commands, one lap after the other, and more at once than it holds", () => {
    withSimulator({ stall: 200, seed: 3 }, (device) => {
      for (let lap = 0; lap < 5; lap++) device.submit(Array(16).fill({ opcode: lm.OP_NOP }));
      assert.equal(device.wait(device.submit([{ opcode: lm.OP_FENCE }])).status, lm.STATUS_OK);
      assert.equal(device.run(Array(100).fill({ opcode: lm.OP_NOP })).sequence, 180);
      const error = refusalOf(() => device.run([...Array(40).fill({ opcode: lm.OP_NOP }), { opcode: 99, layer: 7 }]));
      assert.match(error.message, /^command 221 \(opcode 0x63, layer 7\)/);
      assertUsable(device);
    });
  });

  it("counts on over 2^32", () => {
    withSimulator({}, (_, { memory }) => {
      memory.writeRegister(lm.REG_ENABLE, 0);
      memory.writeRegister(lm.REG_HEAD, 2 ** 32 - 5);
      const device = new Device(memory, { ringLog2: 4 });
      for (let i = 0; i < 12; i++) device.run([{ opcode: lm.OP_NOP }]);
      assertUsable(device);
      assert.ok(memory.readRegister(lm.REG_HEAD) < 100);
    });
  });

  it("that is full and stays so ends in a time-out", () => {
    withSimulator({ hangAt: 4000, timeoutMs: 500 }, (device) => {
      const error = failureOf(() => {
        for (let i = 0; i < 1000; i++)
          device.submit(Array(8).fill(copy(device.dataAddress, device.dataAddress + 65536, 65536)));
      });
      assert.match(error.message, /the ring is full: waited 500 ms for room in the ring; state running/);
      assert.equal(error.exit, "device");
    });
  });
});

describe("time", { skip }, () => {
  it("a lost doorbell is rung again", () => {
    withSimulator({ timeoutMs: 1000 }, (device, { memory }) => {
      const write = memory.writeRegister;
      let lost = 0;
      memory.writeRegister = function (offset, value) {
        if (offset === lm.REG_HEAD && lost++ === 0) return;
        write.call(this, offset, value);
      };
      assert.equal(device.run([{ opcode: lm.OP_NOP }]).status, lm.STATUS_OK);
      assert.deepEqual([lost, device.repeatedDoorbells], [2, 1]);
      assertUsable(device);
    });
  });

  it("a command that takes too many cycles is given up by the watchdog", () => {
    withSimulator({ watchdogCycles: 300 }, (device) => {
      const slow = copy(device.dataAddress, device.dataAddress + 131072, 131072);
      const error = refusalOf(() => device.run([slow]));
      assert.equal(error.status, lm.STATUS_TIMEOUT);
      assert.match(error.message, /COPY\): unit did not end in the cycles of the watchdog/);
      assertUsable(device);
    });
  });

  it("a reset gives up what runs and drops what waits", () => {
    withSimulator({ memoryBytes: 2 ** 24 }, (device, { memory }) => {
      const target = device.dataAddress + 2 ** 22;
      const big = copy(device.dataAddress, target, 2 ** 22);
      device.write(device.dataAddress, Buffer.of(1));
      const last = device.submit([big, big, big, big]);
      // Until the first byte has arrived: the device runs before its first command does.
      while (device.read(target, 1)[0] === 0);
      device.reset();
      assert.equal(device.completion(last - 3)?.status, lm.STATUS_ABORTED);
      assert.equal(memory.readRegister(lm.REG_STATE), lm.STATE_IDLE);
      assert.equal(memory.readRegister(lm.REG_COMPLETED), memory.readRegister(lm.REG_HEAD));
      assertUsable(device);
    });
  });

  it("a memory that answers nothing ends in a time-out that says how far it came, and in a device out of order", () => {
    withSimulator({ hangAt: 3000, timeoutMs: 400 }, (device) => {
      const far = copy(device.dataAddress, device.dataAddress + 262144, 262144);
      const error = failureOf(() => device.run([far]));
      assert.match(
        error.message,
        /waited 400 ms for command 0 \(COPY\); state running, it has heard of all 1 commands and ended 0/,
      );
      assert.match(failureOf(() => device.reset()).message, /for the reset; state aborting/);
      assert.match(failureOf(() => device.run([far])).message, /out of order/);
    });
  });

  it("a simulator killed at work is noticed, and a new one goes on with the same memory", () => {
    withSimulator({ memoryBytes: 2 ** 24 }, (device, simulator) => {
      device.submit([copy(device.dataAddress, device.dataAddress + 2 ** 22, 2 ** 22)]);
      process.kill(simulator.pid, "SIGKILL");
      const error = failureOf(() => device.wait(0, 5000));
      assert.match(error.message, /the simulator has ended.*while waiting for command 0 \(COPY\)/);
      assert.match(
        failureOf(() => device.run([{ opcode: lm.OP_NOP }])).message,
        /out of order: the simulator has ended/,
      );
    });
    withSimulator({}, (device) => assertUsable(device));
  });

  it("a host that was there before leaves nothing that disturbs the next", () => {
    withSimulator({}, (device, { memory }) => {
      assertUsable(device);
      const next = new Device(memory, { ringLog2: 6 });
      assertUsable(next);
      refusalOf(() => next.run([{ opcode: 99 }]));
      assertUsable(new Device(memory, { ringLog2: 3 }));
    });
  });
});

describe("who is on the other side", () => {
  const region = { address: 4096, bytes: 65536, offset: 4096 };
  const words = {
    ...{ [lm.REG_ID]: lm.ID, [lm.REG_VERSION]: lm.VERSION, [lm.REG_CONTRACT]: lm.CONTRACT },
    [lm.REG_BUILD_PORTS]: 1,
  };
  const cases: [name: string, change: { [register: number]: number }, text: RegExp][] = [
    ["nobody", { [lm.REG_ID]: 0 }, /no answer from the device: waited 50 ms for its id/],
    ["something else", { [lm.REG_ID]: 0x12345678 }, /wrong id \(expected 0x4c4d4241, found 0x12345678\)/],
    ["another version", { [lm.REG_VERSION]: lm.VERSION + 65536 }, /another version \(expected 1\.2, found 2\.2\)/],
    ["other numbers", { [lm.REG_CONTRACT]: 1 }, /different numbers: build both again/],
    ["no ports", { [lm.REG_BUILD_PORTS]: 0 }, /no port, or more than there can be \(expected 1 to 63, found 0\)/],
    ["too many ports", { [lm.REG_BUILD_PORTS]: 64 }, /expected 1 to 63, found 64/],
    ["more parts of the state than ports", { [lm.REG_BUILD_STATE_PORTS]: 8 }, /more parts of the state than ports/],
    ["nobody alive", {}, /no answer from the device: waited 50 ms for the reset/],
  ];
  for (const [name, change, text] of cases) {
    it(`${name}: a clear error`, () => {
      const memory = DeviceMemory.create(0, [region]);
      try {
        for (const [register, value] of Object.entries({ ...words, ...change }))
          memory.writeRegister(Number(register), value);
        const error = failureOf(() => new Device(memory, { ringLog2: 4, timeoutMs: 50 }));
        assert.match(error.message, text);
        assert.equal(error.exit, "device");
      } finally {
        memory.close();
      }
    });
  }

  it("a build that is not there is a missing prerequisite", () => {
    const error = failureOf(() => Simulator.start({ build: "nothing" }));
    assert.equal(error.exit, "prerequisite");
    assert.match(error.detail.hint ?? "", /install\.sh.*build\.mjs/);
  });

  it("a simulation that cannot be built, too", async () => {
    const failure = (build: string) =>
      buildSimulation(build).then(
        () => undefined,
        (error) => error,
      );
    const path = process.env.PATH;
    try {
      process.env.PATH = "";
      const error = await failure("nothing");
      assert.deepEqual([error.exit, error.message], ["prerequisite", "firmware/rtl/build.mjs: no Verilator"]);
      assert.match(error.detail.hint, /firmware\/tools\/install\.sh/);
      // One that is there will do
      if (existsSync(simulatorPath("top"))) assert.equal(await failure("top"), undefined);
    } finally {
      process.env.PATH = path;
    }
    if (skip) return;
    const error = await failure("nothing");
    assert.equal(error.exit, "prerequisite");
    assert.match(error.message, /cannot be built: build\.mjs: no unit or build nothing/);
  });

  it("memory that is not to be had is a missing prerequisite", () => {
    const error = failureOf(() => DeviceMemory.create(0, [{ ...region, bytes: 2 ** 52 }]));
    assert.equal(error.exit, "prerequisite");
    assert.match(error.message, /no place for the device's memory: .*bytes free/);
  });

  it("a file that is not there, or too short, is bad input", () => {
    assert.equal(failureOf(() => DeviceMemory.open("/no/such/file", 0, [region])).exit, "badInput");
    assert.match(
      failureOf(() => DeviceMemory.open(import.meta.filename, 0, [{ ...region, bytes: 2 ** 30 }])).message,
      /shorter/,
    );
  });
});

describe("hand-over of memory", { skip }, () => {
  it("is asked for once a range: descriptors, data, completions", () => {
    withSimulator({}, (device, { memory }) => {
      memory.counts.give = memory.counts.take = 0;
      device.write(device.dataAddress, noise(64, 1));
      assert.deepEqual(memory.counts, { give: 1, take: 0 });
      const last = device.submit([copy(device.dataAddress, device.dataAddress + 64, 64), { opcode: lm.OP_FENCE }]);
      assert.deepEqual(memory.counts, { give: 3, take: 0 });
      device.wait(last);
      assert.deepEqual(memory.counts, { give: 3, take: 1 });
      device.read(device.dataAddress + 64, 64);
      assert.deepEqual(memory.counts, { give: 3, take: 2 });
    });
  });
});

describe("the simulator's process", { skip }, () => {
  const program = simulatorPath("top");
  const folder = () => mkdtempSync(join(tmpdir(), "lightmamba-test-"));
  const running = (pid: number) => existsSync(`/proc/${pid}`);

  it("leaves nothing behind", () => {
    const files = () =>
      [tmpdir(), "/dev/shm"]
        .flatMap((f) => (existsSync(f) ? readdirSync(f) : []))
        .filter((f) => f.startsWith("lightmamba-device"));
    const before = files();
    const simulator = Simulator.start({ memoryBytes: 2 ** 20 });
    assert.deepEqual(files(), before);
    simulator.close();
    simulator.close();
    assert.match(simulator.ended() ?? "", /stopped after \d+ cycles/);
  });

  it("ends when its parent is killed", async () => {
    const index = join(import.meta.dirname, "..", "..", "host", "device", "index.ts");
    const code = `import { Simulator } from ${JSON.stringify(index)}; console.log(Simulator.start({ memoryBytes: 2 ** 20 }).pid); setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const pid = Number(await new Promise((resolve) => parent.stdout.once("data", (text) => resolve(String(text)))));
    assert.ok(running(pid));
    parent.kill("SIGKILL");
    for (let i = 0; i < 200 && running(pid); i++) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(!running(pid), "still there");
  });

  it("ends at once, and says why, when it cannot begin", () => {
    const at = folder();
    try {
      const short = join(at, "short");
      writeFileSync(short, Buffer.alloc(100));
      const file = join(at, "file");
      writeFileSync(file, Buffer.alloc(65536));
      const cases: [args: string[], text: RegExp][] = [
        [["--file", join(at, "none")], /none: No such file/],
        [["--file", at], /Is a directory/],
        [["--file", short], /short: the register page is not in the file/],
        [["--file", file, "--region", "4096,65536,4096"], /a region is not in the file/],
        [["--file", file, "--registers", "100"], /register page/],
        [["--fd", "77"], /Bad file descriptor/],
        [["--what", "1"], /--what: unknown option/],
        [["--file"], /--file: value missing/],
        [["--region", "1,2"], /expected 3 values/],
        [["--stall", "x"], /not a number/],
        [["--dram", "-1,5"], /not a rate/],
        [["--port", "3,1,4"], /no such memory/],
        [["--stall", "1024", "--file", file], /at most 1000/],
        [["--trace", "x,0,1", "--file", file], /no waveforms/],
      ];
      for (const [args, text] of cases) {
        const { status, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 10_000 });
        assert.equal(status, 2, `${args}: ${stderr}`);
        assert.match(stderr, text);
      }
    } finally {
      rmSync(at, { recursive: true, force: true });
    }
  });

  it("does not share a file with another, ends on Ctrl-C, and when the file is cut off", async () => {
    const at = folder();
    const file = join(at, "file");
    writeFileSync(file, Buffer.alloc(65536));
    const start = () => spawn(program, ["--file", file], { stdio: ["ignore", "ignore", "pipe"] });
    const over = (child: ReturnType<typeof start>) =>
      new Promise<{ code: number | null; text: string }>((resolve) => {
        let text = "";
        child.stderr.on("data", (chunk) => {
          text += chunk;
        });
        child.on("close", (code) => resolve({ code, text }));
      });
    const memory = () => DeviceMemory.open(file, 0, []);
    const ready = async () => {
      const m = memory();
      while (m.readRegister(lm.REG_ID) !== lm.ID) await new Promise((resolve) => setTimeout(resolve, 5));
      m.close();
    };
    try {
      const first = start();
      const firstOver = over(first);
      await ready();
      const second = await over(start());
      assert.equal(second.code, 2);
      assert.match(second.text, /another simulator is at work/);
      first.kill("SIGINT");
      assert.deepEqual([(await firstOver).code, (await firstOver).text.includes("stopped after")], [0, true]);
      const third = start();
      const thirdOver = over(third);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await ready();
      truncateSync(file, 0);
      assert.deepEqual(await thirdOver, { code: 2, text: "sim: the file is shorter than it was\n" });
    } finally {
      rmSync(at, { recursive: true, force: true });
    }
  });
});

describe("a unit that never ends", { skip: bare }, () => {
  it("is reset by the watchdog, whatever its masters hold, and works again", () => {
    withSimulator({ build: "top-bare", watchdogCycles: 20_000, stall: 100 }, (device) => {
      assert.equal(device.build.ports, 4);
      for (const bytes of [64, 2048, 4096, 131072]) {
        const stuck = { ...copy(device.dataAddress, device.dataAddress + 262144, bytes), layer: 999 };
        device.write(device.dataAddress + 262144, Buffer.alloc(64));
        const error = refusalOf(() => device.run([{ opcode: lm.OP_NOP }, stuck, { opcode: lm.OP_NOP }]));
        assert.equal(error.status, lm.STATUS_TIMEOUT);
        assert.match(error.message, /COPY, layer 999/);
        assert.deepEqual(device.read(device.dataAddress + 262144, 64), Buffer.alloc(64));
        assertUsable(device, bytes);
      }
    });
  });
});

const noTrace = skipReason("top-trace");
describe("waveforms", { skip: noTrace }, () => {
  it("are written of the cycles that were asked for", () => {
    const at = mkdtempSync(join(tmpdir(), "lightmamba-test-"));
    try {
      const sizes = [50, 500].map((cycles) => {
        const file = join(at, `${cycles}.fst`);
        withSimulator({ build: "top-trace", trace: { file, from: 600, to: 600 + cycles } }, (device) => {
          for (let i = 0; i < 4; i++) assertUsable(device, i);
        });
        return statSync(file).size;
      });
      assert.ok(sizes[0]! > 1000 && sizes[1]! > sizes[0]!, String(sizes));
    } finally {
      rmSync(at, { recursive: true, force: true });
    }
  });
});
