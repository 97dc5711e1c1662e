/** What the runtime imports as `accel`: a device's memory and its commands. */
import { DESCRIPTOR } from "../../assembly/device.generated.ts";
import { CommandError, type Device } from "../device/index.ts";
import { LightMambaError } from "../errors.ts";
import type { AccelImports } from "./threads.ts";

export class DeviceLink {
  readonly #memory: WebAssembly.Memory;
  #device: Device | undefined;
  /** It may still be at work on something that was given up: a time-out, a reset that failed. */
  #suspect = false;

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
  }

  attach(device: Device | undefined): void {
    this.#device = device;
    this.#suspect = false;
  }

  get imports(): AccelImports {
    return {
      write: (address, pointer, bytes) =>
        this.#do((device) => device.write(Number(address), this.#view(pointer, bytes))),
      // A copy: where reading fails, linear memory stays as it was
      read: (address, pointer, bytes) =>
        this.#view(pointer, bytes).set(this.#do((device) => device.read(Number(address), bytes))),
      run: (descriptors, count) =>
        this.#do((device) => device.wait(device.submitList(this.#view(descriptors, count * DESCRIPTOR)))),
    };
  }

  #view(pointer: number, bytes: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, pointer >>> 0, bytes);
  }

  #do<T>(action: (device: Device) => T): T {
    if (this.#device === undefined) throw new LightMambaError("usage", "the model's device is closed");
    try {
      if (this.#suspect) this.#device.reset();
      this.#suspect = false;
      return action(this.#device);
    } catch (error) {
      this.#suspect = !(error instanceof CommandError);
      throw error;
    }
  }
}
