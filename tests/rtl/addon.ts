/** A testbench of firmware/rtl/sim in this process: what support.ts does with a process, through an add-on for Node. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Request, Result } from "./support.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "build", "rtl", "addon", "Release");

interface Addon {
  run(requests: Buffer): Buffer;
}

/** One of the builds that `firmware/rtl/build.mjs --addon` makes; each call to run starts with a module just reset. */
export class Unit {
  #addon: Addon;

  constructor(name: string) {
    this.#addon = createRequire(import.meta.url)(join(FOLDER, `${name}.node`)) as Addon;
  }

  /** Throws where the process would end with an exit code: `code` is that one. */
  run(...requests: readonly Request[]): Result {
    return new Result(this.bytes(Buffer.concat(requests.map((request) => request.bytes()))));
  }

  /** The bytes of requests to those of results. */
  bytes(requests: Buffer): Buffer {
    return this.#addon.run(requests);
  }
}
