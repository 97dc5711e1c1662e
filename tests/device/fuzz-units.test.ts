/**
 * Commands of all units with sizes that the build takes and everything else at random, on a memory full of noise and with random stalls: each ends, with
 * a status or without, long before the watchdog; nothing but the windows that may be written changes; the device works afterwards.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { type Command, CommandError, type Device } from "../../host/device/index.ts";
import { type Pick, randomOf } from "../fuzz/random.ts";
import { skipReason } from "../rtl/support.ts";
import { assertUsable, noise, withSimulator } from "./support.ts";

const MEMORY = 2 ** 19;
const WEIGHTS = 2 ** 17;
const LISTS = 60;
/** Far more than any of these commands takes, with nine of ten cycles stalled too. */
const WATCHDOG = 2_000_000;
const OPCODES = [lm.OP_MULTIPLY, lm.OP_SSM, lm.OP_HTU, lm.OP_NQU, lm.OP_EMBED, lm.OP_COPY];

function address(device: Device, pick: Pick): number {
  const end = device.weightAddress + device.weightBytes;
  switch (pick(16)) {
    case 0:
      return end - 64 * pick(4);
    case 1:
      return 64 * pick(2 ** 24);
    default:
      return device.dataAddress + 64 * pick((end - device.dataAddress) / 64);
  }
}

function sizes(opcode: number, pick: Pick): Command {
  switch (opcode) {
    case lm.OP_MULTIPLY:
      return { opcode, count: 8 * (1 + pick(12)), inputs: 1 + pick(300), planes: 1 + pick(2), route: pick(3) };
    case lm.OP_SSM: {
      const [groups, conv] = [1 + pick(3), 2 + pick(3)];
      const [heads, state] = [groups * (1 + pick(4)), 1 + pick(80)];
      return {
        opcode,
        count: pick(2 ** 31),
        inputs: pick(conv - 1),
        groups,
        conv,
        heads,
        state,
        headDim: 1 + pick(20),
      };
    }
    case lm.OP_HTU: {
      const [blocks, order, log2] = [1 + pick(3), 1 + pick(24), pick(6)];
      return { opcode, count: blocks * order * 2 ** log2, inputs: order, heads: blocks, headDim: log2 };
    }
    case lm.OP_COPY:
      return { opcode, count: 64 * (1 + pick(20)) };
    default:
      return {
        ...{ opcode, count: 1 + pick(400), inputs: pick(2 ** 16), state: pick(2 ** 16) },
        route: pick(2) === 0 ? lm.ROUTE_RESIDUAL : lm.ROUTE_INNER,
      };
  }
}

function randomCommand(device: Device, pick: Pick): Command {
  const command = sizes(OPCODES[pick(OPCODES.length)]!, pick);
  const { opcode } = command;
  return {
    ...command,
    flags: pick(2) * lm.FLAG_FOLLOW + pick(2) * lm.FLAG_BIAS + (pick(4) === 0 ? lm.FLAG_WAIT : 0),
    tokens: opcode === lm.OP_EMBED ? 1 : 1 + pick(device.build.tokens),
    format: opcode === lm.OP_SSM ? 8 : [4, 5, 6, 8][pick(4)]!,
    weightGroup: [16, 32][pick(2)]!,
    stride: 1 + pick(device.build.tokens),
    addresses: Array.from({ length: 4 }, () => address(device, pick)),
  };
}

/** Port tables and records are mostly noise: now and then one that leads somewhere. */
function plant(device: Device, pick: Pick, command: Command): void {
  const [first, second] = command.addresses as number[];
  if (pick(3) === 0) return;
  const beat = noise(64, pick(1000));
  if (command.opcode === lm.OP_MULTIPLY) {
    const table = Buffer.alloc(128);
    table.set([1 + pick(4)]);
    for (let port = 0; port < device.build.ports; port++) {
      table.writeBigUInt64LE(BigInt(address(device, pick)), 64 + 8 * port);
    }
    inside(device, first!, table);
  } else if (command.opcode === lm.OP_SSM) {
    beat.writeBigUInt64LE(BigInt(address(device, pick)), 40);
    inside(device, second!, beat);
  }
}

function inside(device: Device, at: number, bytes: Buffer): void {
  if (at >= device.dataAddress && at + bytes.length <= device.dataAddress + device.dataBytes) device.write(at, bytes);
}

/** Returns the statuses that lists ended with. */
function fuzz(device: Device, seed: number): Set<number> {
  const pick = randomOf(seed);
  const weights = noise(device.weightBytes, seed);
  device.write(device.dataAddress, noise(device.dataBytes, seed + 1));
  device.write(device.weightAddress, weights);
  const found = new Set<number>();
  for (let list = 0; list < LISTS; list++) {
    const commands = Array.from({ length: 1 + pick(6) }, () => randomCommand(device, pick));
    for (const command of commands) plant(device, pick, command);
    try {
      device.run(commands);
      found.add(lm.STATUS_OK);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      found.add(error.status);
      assert.notEqual(error.status, lm.STATUS_TIMEOUT, `seed ${seed}, list ${list}: ${error.message}`);
    }
  }
  assert.ok(device.read(device.weightAddress, device.weightBytes).equals(weights), "what may only be read has changed");
  assertUsable(device);
  return found;
}

const skip = skipReason("top") || skipReason("top-p4");
describe("random commands of all units", { skip }, () => {
  const found = new Set<number>();
  for (const [build, stall] of [
    ["top", 0],
    ["top", 300],
    ["top-p4", 100],
    ["top-p4", 800],
  ] as const) {
    it(`end, ${build}, ${stall} of 1024 stalls`, () => {
      for (let seed = 1; seed <= 3; seed++) {
        const memory = { memoryBytes: MEMORY, weightBytes: WEIGHTS, watchdogCycles: WATCHDOG };
        withSimulator({ build, stall, seed, timeoutMs: 120_000, ...memory }, (device) => {
          for (const status of fuzz(device, seed + 1000 * stall)) found.add(status);
        });
      }
    });
  }

  it("ended well, outside the windows, on misaligned addresses and on port tables that fit no build", () => {
    const expected = [lm.STATUS_OK, lm.STATUS_WINDOW, lm.STATUS_SIZE, lm.STATUS_ALIGNMENT];
    assert.deepEqual(
      expected.filter((status) => !found.has(status)),
      [],
    );
  });
});
