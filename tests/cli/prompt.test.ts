/** The one question that a command may ask. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { confirmOn } from "../../host/cli/prompt.ts";

/** A stream that says of itself that it is a terminal, or is not. */
function stream(isTTY: boolean) {
  return Object.assign(new PassThrough(), { isTTY });
}

async function answered(typed: string, ends = false): Promise<boolean> {
  const [input, output] = [stream(true), stream(true)];
  const answer = confirmOn({ input, output }, "All will be lost. Type yes:");
  input.write(typed);
  if (ends) input.end();
  const found = await answer;
  assert.match(String(output.read()), /All will be lost\. Type yes: /);
  return found;
}

describe("a question", () => {
  for (const typed of ["yes\n", " Yes \n", "yes\r\n"])
    it(`${JSON.stringify(typed)} is a yes`, async () => assert.equal(await answered(typed), true));

  for (const typed of ["\n", "y\n", "no\n", "yes, but\n"])
    it(`${JSON.stringify(typed)} is a no`, async () => assert.equal(await answered(typed), false));

  it("an end without a line (Ctrl-D) is a no", async () => {
    assert.equal(await answered("", true), false);
  });

  it("is not asked where nobody can see it, or answer", async () => {
    for (const [input, output] of [
      [true, false],
      [false, true],
    ] as const)
      await assert.rejects(confirmOn({ input: stream(input), output: stream(output) }, "?"), { exit: "cancelled" });
  });
});
