import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createOutput, readFlags, type Sink, wantsColor } from "../../host/cli/output.ts";

function sink(isTTY = false): Sink & { text: string } {
  return {
    text: "",
    isTTY,
    write(piece) {
      this.text += piece;
    },
  };
}

describe("readFlags", () => {
  it("finds the global options anywhere before --", () => {
    assert.deepEqual(readFlags(["run", "x", "--json", "-q", "--no-color"]), { json: true, quiet: true, color: false });
    assert.deepEqual(readFlags(["run", "--", "--json", "-q"]), { json: false, quiet: false, color: true });
  });
});

describe("wantsColor", () => {
  const CASES: [what: string, flag: boolean, env: NodeJS.ProcessEnv, tty: boolean, expected: boolean][] = [
    ["a terminal", true, {}, true, true],
    ["a pipe", true, {}, false, false],
    ["--no-color", false, { FORCE_COLOR: "1" }, true, false],
    ["NO_COLOR", true, { NO_COLOR: "1" }, true, false],
    ["NO_COLOR beats FORCE_COLOR", true, { NO_COLOR: "1", FORCE_COLOR: "1" }, true, false],
    ["NO_COLOR that is empty", true, { NO_COLOR: "" }, true, true],
    ["FORCE_COLOR in a pipe", true, { FORCE_COLOR: "1" }, false, true],
    ["FORCE_COLOR=0", true, { FORCE_COLOR: "0" }, true, false],
    ["a dumb terminal", true, { TERM: "dumb" }, true, false],
  ];
  for (const [what, flag, env, tty, expected] of CASES) {
    it(what, () => assert.equal(wantsColor(flag, env, tty), expected));
  }
});

describe("output", () => {
  it("keeps data and remarks apart", () => {
    const [out, err] = [sink(), sink()];
    const output = createOutput({ json: false, quiet: false, color: true }, out, err, {});
    output.data("a");
    output.line("b");
    output.note("c");
    output.warn("d");
    output.record({ e: [1] });
    assert.equal(out.text, 'ab\n{"e":[1]}\n');
    assert.equal(err.text, "c\nd\n");
  });

  it("with --quiet, keeps warnings and data only", () => {
    const [out, err] = [sink(), sink(true)];
    const output = createOutput({ json: false, quiet: true, color: true }, out, err, {});
    output.note("c");
    output.progress("p").update(1, 2);
    output.progress("p").done();
    output.warn("d");
    output.line("b");
    assert.equal(err.text, "d\n");
    assert.equal(out.text, "b\n");
  });

  it("colours for a terminal, never in JSON", () => {
    const flags = { json: false, quiet: false, color: true };
    assert.equal(createOutput(flags, sink(true), sink(), {}).style("red", "x"), "\u001b[31mx\u001b[39m");
    assert.equal(createOutput(flags, sink(false), sink(true), {}).style("red", "x"), "x");
    assert.equal(createOutput({ ...flags, json: true }, sink(true), sink(), {}).style("red", "x"), "x");
  });
});
