import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CommanderError } from "commander";
import { report } from "../../host/cli/failure.ts";
import { createOutput } from "../../host/cli/output.ts";
import { EXIT, type ExitName, LightMambaError } from "../../host/errors.ts";

function reported(error: unknown, json = false): { code: number; stdout: string; stderr: string } {
  let [stdout, stderr] = ["", ""];
  const output = createOutput(
    { json, quiet: true, color: false },
    { write: (text) => (stdout += text) },
    { write: (text) => (stderr += text) },
    {},
  );
  return { code: report(error, output), stdout, stderr };
}

describe("report", () => {
  for (const exit of Object.keys(EXIT) as ExitName[]) {
    it(`${exit} ends with ${EXIT[exit]}`, () =>
      assert.equal(reported(new LightMambaError(exit, "x")).code, EXIT[exit]));
  }

  it("writes message and hint, also with --quiet", () => {
    const error = new LightMambaError("badInput", "bad shape", {
      file: "a/b",
      field: "w",
      expected: 4,
      found: 3,
      hint: "look",
    });
    assert.equal(reported(error).stderr, "lightmamba: a/b: w: bad shape (expected 4, found 3)\nhint: look\n");
  });

  it("keeps to one line, whatever a file name holds", () => {
    assert.equal(
      reported(new LightMambaError("badInput", "x", { file: "a\nb\r\nc" })).stderr,
      "lightmamba: a b c: x\n",
    );
  });

  it("asks for a report of what it did not expect, without a stack", () => {
    const { code, stderr } = reported(new TypeError("x is not a function"));
    assert.equal(code, 1);
    assert.match(stderr, /^lightmamba: unexpected error: x is not a function\n.*defect.*report/);
    assert.doesNotMatch(stderr, /\n\s+at /);
  });

  it("adds the stack with LIGHTMAMBA_DEBUG=1", () => {
    process.env.LIGHTMAMBA_DEBUG = "1";
    try {
      assert.match(reported(new TypeError("x")).stderr, /\n\s+at /);
    } finally {
      delete process.env.LIGHTMAMBA_DEBUG;
    }
  });

  it("takes what is no Error", () => assert.match(reported("just a text").stderr, /unexpected error: just a text/));

  it("says what the file system said in words", () => {
    const error = Object.assign(new Error("EACCES: …"), { code: "EACCES", path: "/x", syscall: "open" });
    assert.deepEqual(reported(error), { code: EXIT.badInput, stdout: "", stderr: "lightmamba: /x: no permission\n" });
  });

  it("does not take any error with a code for the file system's", () => {
    assert.equal(reported(Object.assign(new Error("x"), { code: "ENOENT" })).code, EXIT.bug);
    assert.equal(
      reported(Object.assign(new Error("x"), { code: "ERR_INVALID_ARG_TYPE", path: "/x", syscall: "y" })).code,
      1,
    );
  });

  it("says nothing after help", () => {
    assert.deepEqual(reported(new CommanderError(0, "commander.helpDisplayed", "(outputHelp)")), {
      code: 0,
      stdout: "",
      stderr: "",
    });
  });

  it("with --json, writes to standard output only", () => {
    const { stdout, stderr } = reported(new LightMambaError("device", "none"), true);
    assert.deepEqual(JSON.parse(stdout), { error: { exit: "device", code: 5, message: "none", detail: {} } });
    assert.equal(stderr, "");
  });
});
