/** A board's device, mapped by the add-on. The simulator on a file stands in for the board: the same calls, but no interrupts. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import {
  addonPath,
  buildName,
  Device,
  DeviceMemory,
  type DeviceOptions,
  MappedMemory,
  openBoard,
  simulatorPath,
} from "../../host/device/index.ts";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { DeviceModel } from "../device/model.ts";
import { assertUsable, copy, failureOf, refusalOf, skipModels } from "../device/support.ts";
import { skipReason as skipRtl } from "../rtl/support.ts";
import { skipReason } from "./support.ts";

const skip = skipReason("addon") || skipModels() || skipRtl("top-p4");

const BYTES = 2 ** 24;
/** Where the device sees its memory. */
const ADDRESS = 0x6000_0000;
const FAR = 0x50000000000;

interface Stage {
  file: string;
  /** Options --memory. */
  memory: string[];
  simulator: ChildProcess;
  open(options?: DeviceOptions): Device;
}

/** A simulator on a file, with so many ports, half of them at a second memory where there are several. */
async function onStage(action: (stage: Stage) => unknown, ports: 1 | 4 = 1): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-board-"));
  const file = join(folder, "uio");
  writeFileSync(file, "");
  truncateSync(file, 4096 + 2 * BYTES);
  const places = [`${ADDRESS},${BYTES},4096`, `${FAR},${BYTES},${4096 + BYTES}`].slice(0, ports === 1 ? 1 : 2);
  const regions = places.flatMap((place) => ["--region", place]);
  const simulator = spawn(simulatorPath(buildName(ports)), ["--file", file, ...regions], { stdio: "ignore" });
  try {
    const shared = DeviceMemory.open(file, 0, []);
    while (shared.readRegister(lm.REG_ID) !== lm.ID) await new Promise((resolve) => setTimeout(resolve, 5));
    shared.close();
    const place = { uio: file, memories: [{ path: file, address: ADDRESS, bytes: BYTES, offset: 4096 }] };
    const open = (options: DeviceOptions = {}) => openBoard(place, { ringLog2: 4, ...options });
    const memory = places.flatMap((place) => ["--memory", `${file},${place}`]);
    await action({ file, memory, simulator, open });
  } finally {
    simulator.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("a mapped device", { skip }, () => {
  it("does what it is told, tells what it refuses, and counts hand-overs in the library as here", () =>
    onStage(({ open }) => {
      const device = open();
      const memory = device.memory as MappedMemory;
      for (let i = 0; i < 40; i++) assertUsable(device, i);
      const error = refusalOf(() => device.run([copy(device.dataAddress, 64, 64)]));
      assert.equal(error.status, lm.STATUS_WINDOW);
      assertUsable(device);
      assert.deepEqual(memory.handOvers(), memory.counts);
      assert.ok(memory.counts.give > 100);
      memory.close();
      memory.close();
      assert.throws(() => memory.readRegister(lm.REG_ID), /the device is closed/);
    }));

  it("is one process's, until that ends", () =>
    onStage(({ open, file }) => {
      const index = join(import.meta.dirname, "..", "..", "host", "device", "index.ts");
      const code = `import { MappedMemory } from ${JSON.stringify(index)}; MappedMemory.map({ uio: ${JSON.stringify(file)} }); console.log("mapped");`;
      const other = () => spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
      assert.equal(other().stdout, "mapped\n");
      const device = open();
      assert.match(other().stderr, new RegExp(`in use by process ${process.pid}`));
      assertUsable(device);
      device.memory.close();
      assert.equal(other().stdout, "mapped\n");
    }));

  it("whose simulator is killed, or stopped, is an error in time", () =>
    onStage(async ({ open, simulator }) => {
      const device = open({ timeoutMs: 300 });
      simulator.kill("SIGSTOP");
      const late = failureOf(() => device.run([{ opcode: lm.OP_NOP }]));
      assert.match(late.message, /waited 300 ms for command 0 \(NOP\)/);
      simulator.kill("SIGKILL");
      await new Promise((resolve) => simulator.once("close", resolve));
      const dead = failureOf(() => device.run([{ opcode: lm.OP_NOP }]));
      assert.match(dead.message, /the process that played the device has ended, while waiting for command 1 \(NOP\)/);
      assert.equal(dead.exit, "device");
      device.memory.close();
    }));

  it("that is not there, or smaller than it was said to be, is a clear error", () =>
    onStage(({ file }) => {
      const at =
        (...places: (readonly [address: number, bytes: number, offset: number])[]) =>
        () =>
          MappedMemory.map({
            uio: file,
            memories: places.map(([address, bytes, offset]) => ({ path: file, address, bytes, offset })),
          });
      const cases: [action: () => unknown, text: RegExp, exit: string][] = [
        [() => MappedMemory.map({ uio: "/dev/no-uio" }), /\/dev\/no-uio: cannot be opened: No such file/, "device"],
        [at([ADDRESS, 4 * BYTES, 4096]), /shorter than the device's memory \(expected at least/, "device"],
        [at([ADDRESS, 4096, 100]), /memory_offset is not on a page/, "usage"],
        [at([3, 4096, 4096]), /memory_address is not a multiple of 64/, "usage"],
        [at([ADDRESS, 4096, 4096], [ADDRESS, 4096, 8192]), /overlaps that at 0x/, "usage"],
        [at([ADDRESS, 4096, 4096], [2 * ADDRESS, 0, 8192]), /memory_bytes is 0/, "usage"],
      ];
      for (const [action, text, exit] of cases) {
        const error = failureOf(action);
        assert.match(error.message, text);
        assert.equal(error.exit, exit);
      }
      const memory = MappedMemory.map({ uio: file });
      assert.equal(failureOf(() => memory.read(64, Buffer.alloc(64))).exit, "bug");
      memory.close();
    }));
});

describe("the add-on", { skip: skipReason("addon") }, () => {
  it("takes nothing but what it can use", () => {
    // biome-ignore lint/suspicious/noExplicitAny: whatever a caller might hand over
    const addon = createRequire(import.meta.url)(addonPath()) as { [name: string]: (...args: any[]) => unknown };
    for (const name of Object.keys(addon)) {
      for (const args of [
        [],
        [1],
        [{}, 0, 0],
        [undefined, 0, 0],
        ["x".repeat(600), "", 0, 0, 0],
        ["a", "b", -1, 0.5, NaN],
      ])
        assert.throws(() => addon[name]!(...args), { message: /./ }, `${name}(${args})`);
    }
    const folder = mkdtempSync(join(tmpdir(), "lightmamba-board-"));
    const file = join(folder, "uio");
    writeFileSync(file, Buffer.alloc(8192));
    const handle = addon.open!(file, "", 0, 0, 0);
    const bad: [name: string, args: unknown[]][] = [
      ["register", [4096]],
      ["register", [-4]],
      ["setRegister", [0, 2 ** 32]],
      ["read", [4096, new Uint16Array(4)]],
      ["read", [4096, "text"]],
      ["write", [2 ** 60, Buffer.alloc(8)]],
      ["write", [4096, Buffer.alloc(4097)]],
      ["give", [0, 1]],
      ["sleep", [2 ** 33]],
    ];
    for (const [name, args] of bad) assert.throws(() => addon[name]!(handle, ...args), Error, `${name}(${args})`);
    addon.close!(handle);
    assert.throws(() => addon.state!(handle), /the device is closed/);
    rmSync(folder, { recursive: true });
  });
});

describe("the command line on a board", { skip }, () => {
  it("selftest compares every part, run writes the text of --device wasm", () =>
    onStage(async ({ file, memory }) => {
      const board = ["--device", "board", "--uio", file, ...memory];
      const test = await lightmamba(["selftest", ...board, "--json"]);
      assert.equal(test.code, 0, test.stdout + test.stderr);
      const steps = test.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).name as string);
      assert.deepEqual(steps, ["identity", "copy", "matrix", "matrices and SSM of a layer", "layer"]);
      const text = ["run", "Once upon", "-n", "2", "--seed", "3"];
      const [plain, found] = [await lightmamba(text), await lightmamba([...text, ...board])];
      assert.equal(found.stdout, plain.stdout);
      assert.match(found.stderr, /\[board, fused, 1 port: \d+ cycles a token\]\n$/);
      const missing = await lightmamba(["run", "--device", "board", "--uio", "/dev/no-uio"]);
      assert.equal(missing.code, EXIT.device);
      assert.match(missing.stderr, /^lightmamba: \/dev\/no-uio: cannot be opened/);
    }));

  it("several memories: weights lie where their ports are", () =>
    onStage(async ({ file, memory }) => {
      const text = ["run", "Once upon", "-n", "2", "--seed", "3"];
      const board = [...text, "--device", "board", "--board", "vck190", "--uio", file];
      const [plain, found] = [await lightmamba(text), await lightmamba([...board, ...memory])];
      assert.equal(found.stdout, plain.stdout, found.stderr);
      const few = await lightmamba([...board, ...memory.slice(0, 2)]);
      assert.equal(few.code, EXIT.device);
      assert.match(
        few.stderr,
        /memory 1: the device's memory is too small for the model \(expected \d+ bytes, found 0/,
      );
    }, 4));
});

describe("a device with interrupts", () => {
  class Interrupting extends DeviceModel {
    override readonly interrupts = true;
    readonly flags: number[] = [];

    override write(address: number, from: Uint8Array): void {
      if (from.length === lm.DESCRIPTOR) this.flags.push(from[lm.DESC_FLAGS]! & lm.FLAG_INTERRUPT);
      super.write(address, from);
    }
  }

  it("is asked for one with the last command of a list", () => {
    const memory = new Interrupting({ bytes: 2 ** 20 });
    const device = new Device(memory);
    const nop = { opcode: lm.OP_NOP };
    device.run([nop, nop, nop]);
    device.wait(device.submitList(Buffer.alloc(2 * lm.DESCRIPTOR)));
    assert.deepEqual(memory.flags, [0, 0, lm.FLAG_INTERRUPT, 0, lm.FLAG_INTERRUPT]);
  });
});
