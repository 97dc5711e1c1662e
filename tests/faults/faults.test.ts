/** The trials of `npm run faults`, with fewer power cuts. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { skipModels } from "../device/support.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { skipImages } from "../image/support.ts";
import { openWorkshop, TRIALS, type Workshop } from "./trials.ts";

const TRIES = 1;
const TOKENS = 400;

const folder = scratchFolder();
const skip = skipImages() || withoutProgram("qemu-system-aarch64") || skipModels();

describe("what a board survives", { skip, concurrency: 2, timeout: 1_800_000 }, () => {
  let workshop: Workshop;
  before(async () => {
    workshop = await openWorkshop(folder, true);
  });

  for (const { name, run } of TRIALS) {
    it(name, async (t) => {
      const options = { tries: TRIES, tokens: TOKENS, seed: 1, say: (text: string) => t.diagnostic(text) };
      const { found, failure } = await run(workshop, options);
      assert.equal(failure, undefined);
      assert.ok(Object.keys(found).length > 0);
    });
  }
});
