/** A device to test with: the simulator, and what every test asks of it afterwards. */
import assert from "node:assert/strict";
import * as lm from "../../assembly/device.generated.ts";
import { type Command, CommandError, type Device, Simulator, type SimulatorOptions } from "../../host/device/index.ts";
import { LightMambaError } from "../../host/errors.ts";
import { skipReason } from "../rtl/support.ts";

export function withSimulator<T>(options: SimulatorOptions, action: (device: Device, simulator: Simulator) => T): T {
  const simulator = Simulator.start({ memoryBytes: 2 ** 20, ringLog2: 4, ...options });
  try {
    return action(simulator.device, simulator);
  } finally {
    simulator.close();
  }
}

/** Why no model can run on the simulated RTL, if so: for the option `skip`. */
export function skipModels(): string | false {
  const reason = skipReason("top");
  if (reason) return reason;
  const missing = withSimulator({}, ({ build: { units } }) => ~units & 0x7f);
  return missing === 0 ? false : "the simulation has no units yet";
}

export function copy(from: number | bigint, to: number | bigint, bytes: number): Command {
  return { opcode: lm.OP_COPY, count: bytes, addresses: [from, to] };
}

export function noise(bytes: number, seed: number): Buffer {
  const out = Buffer.alloc(bytes);
  let state = seed | 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

/** It still does what it is told, and with the right bytes. */
export function assertUsable(device: Device, seed = 7): void {
  const data = noise(640, seed);
  device.write(device.dataAddress, data);
  device.run([copy(device.dataAddress, device.dataAddress + 4096, data.length), { opcode: lm.OP_FENCE }]);
  assert.deepEqual(device.read(device.dataAddress + 4096, data.length), data);
}

export function failureOf(action: () => unknown): LightMambaError {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof LightMambaError, String((error as Error).stack));
    return error;
  }
  throw new assert.AssertionError({ message: "did not fail" });
}

export function refusalOf(action: () => unknown): CommandError {
  const error = failureOf(action);
  assert.ok(error instanceof CommandError, error.message);
  return error;
}

/** The error that a promise ends with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<LightMambaError> {
  const error = await promise.then(
    () => new Error("did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof LightMambaError, String(error));
  return error;
}
