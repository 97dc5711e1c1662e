/** `selftest` finds what it looks for: a device that is right passes, one that is wrong from some step on fails there. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Device } from "../../host/device/index.ts";
import { selftest } from "../../host/selftest.ts";
import { DeviceModel } from "./model.ts";
import { failureOf } from "./support.ts";

/** Flips a bit of the last byte of what is read, but of completions. */
class Wrong extends DeviceModel {
  wrong = false;

  override read(address: number, into: Uint8Array): void {
    super.read(address, into);
    if (this.wrong && into.length > 64) into[into.length - 1]! ^= 1;
  }
}

/** Names of the steps that pass when the device is wrong after the first `right` of them. */
function passed(right: number): string[] {
  const memory = new Wrong({ bytes: 2 ** 21 });
  const names: string[] = [];
  for (const { name } of selftest(new Device(memory))) {
    names.push(name);
    memory.wrong = names.length >= right;
  }
  return names;
}

const STEPS = ["identity", "copy", "matrix", "matrices and SSM of a layer", "layer"];

describe("selftest", () => {
  it("passes on a device that is right", () => assert.deepEqual(passed(STEPS.length + 1), STEPS));

  for (const [right, step] of [...STEPS.entries()].slice(1)) {
    it(`fails at "${step}" when that is wrong`, () => {
      const error = failureOf(() => passed(right));
      assert.equal(error.exit, "verification");
      assert.match(
        error.message,
        step === "copy" ? /^copy of 4096 bytes, byte 4095: / : /^after \d tokens, logit \d+: /,
      );
    });
  }
});
