import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { define as defineRun, type RunOptions } from "../../host/cli/commands/run.ts";
import { probeRelaxedDot, probeSimd } from "../../host/cli/doctor/engine.ts";
import { createOutput } from "../../host/cli/output.ts";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "./lightmamba.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-cli-"));
after(() => rmSync(scratch, { recursive: true }));

const TINY = ["--model", "models/tiny"];

describe("tokenize", { concurrency: 3 }, () => {
  it("shows a token a line, spaces visible", async () => {
    const { code, stdout, stderr } = await lightmamba(["tokenize", ...TINY, "Once", "upon a", "time"]);
    assert.equal(stdout, '     47  "O"\n   1307  "nce"\n    586  " upon"\n    259  " a"\n    567  " time"\n');
    assert.deepEqual([code, stderr], [0, ""]);
  });

  it("prints ids that --decode takes", async () => {
    const { stdout } = await lightmamba(["tokenize", ...TINY, "--ids", "naïve 👩"]);
    const back = await lightmamba(["tokenize", ...TINY, "--decode", stdout.trim()]);
    assert.equal(back.stdout, "naïve 👩\n");
  });

  it("reads standard input and files as they are", async () => {
    const file = join(scratch, "text.txt");
    writeFileSync(file, "\ufeff two\n");
    const [piped, read] = await Promise.all([
      lightmamba(["tokenize", ...TINY, "--json", "-"], { stdin: "\ufeff two\n" }),
      lightmamba(["tokenize", ...TINY, "--json", "--file", file]),
    ]);
    assert.equal(piped.stdout, read.stdout);
    const { ids, tokens, count } = JSON.parse(read.stdout) as { ids: number[]; tokens: string[]; count: number };
    assert.equal(ids.length, count);
    assert.equal(tokens.at(-1), "\n");
  });

  it("with --json, decodes into an object", async () => {
    const { stdout } = await lightmamba(["tokenize", ...TINY, "--decode", "47,1307", "--json"]);
    assert.deepEqual(JSON.parse(stdout), { text: "Once", ids: [47, 1307], count: 2 });
  });

  it("takes an empty text, and a text that looks like an option", async () => {
    const [empty, dashes] = await Promise.all([
      lightmamba(["tokenize", ...TINY, "--json", "-"], { stdin: "" }),
      lightmamba(["tokenize", ...TINY, "--json", "--", "--json"]),
    ]);
    assert.deepEqual(JSON.parse(empty.stdout), { ids: [], tokens: [], count: 0 });
    assert.equal((JSON.parse(dashes.stdout) as { tokens: string[] }).tokens.join(""), "--json");
  });

  it("refuses bytes that are no UTF-8", async () => {
    const file = join(scratch, "latin1.txt");
    writeFileSync(file, Uint8Array.of(0x63, 0x61, 0x66, 0xe9));
    const { code, stderr } = await lightmamba(["tokenize", ...TINY, "--file", file]);
    assert.equal(code, EXIT.badInput);
    assert.match(stderr, /latin1\.txt: not UTF-8 text/);
  });

  it("refuses a directory as a text", async () => {
    const { code, stderr } = await lightmamba(["tokenize", ...TINY, "--file", scratch]);
    assert.equal(code, EXIT.badInput);
    assert.match(stderr, /is a directory, expected a file/);
  });
});

describe("doctor", { concurrency: 3 }, () => {
  it("reports every check, with a remedy for all that is not ok, and 4 if one fails", async () => {
    const { code, stdout } = await lightmamba(["doctor", "--json"]);
    const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Record<string, string>[] };
    const names = findings.map(({ name }) => name);
    assert.deepEqual(names, [
      "node",
      "simd",
      "relaxed-simd",
      "modules",
      "kernels",
      "model",
      "tokenizer",
      "memory",
      "simulation",
      "images",
      "board",
    ]);
    for (const { status, remedy } of findings) assert.equal(status === "ok", remedy === undefined);
    assert.equal(ok, !findings.some(({ status }) => status === "fail"));
    assert.equal(code, ok ? 0 : EXIT.prerequisite);
  });

  it("writes the same for people, with colours only where wanted", async () => {
    const plain = await lightmamba(["doctor"]);
    assert.match(plain.stdout, /^(ok {2}|warn|fail) {2}Node /);
    const [forced, refused] = await Promise.all([
      lightmamba(["doctor"], { env: { FORCE_COLOR: "1" } }),
      lightmamba(["doctor"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } }),
    ]);
    assert.ok(forced.stdout.includes("\u001b["));
    assert.ok(!refused.stdout.includes("\u001b["));
  });

  it("finds both kinds of SIMD right in the engine that runs the tests", () => {
    assert.deepEqual([probeSimd(), probeRelaxedDot()], ["correct", "correct"]);
  });
});

describe("run", { concurrency: 3 }, () => {
  /** Parses without running. */
  function parse(args: string[]): RunOptions {
    const command = defineRun(createOutput({ json: false, quiet: true, color: false }));
    command.action(() => {}).parse(args, { from: "user" });
    return command.opts<RunOptions>();
  }

  it("has the defaults that its help states", () => {
    assert.deepEqual(
      { ...parse([]) },
      {
        model: "models/tiny-w4a4",
        tokens: 256,
        temperature: 0.8,
        topK: 0,
        topP: 0.95,
        minP: 0,
        repetitionPenalty: 1,
        presencePenalty: 0,
        frequencyPenalty: 0,
        device: "wasm",
      },
    );
  });

  it("collects stops, given together or one by one, and takes negative penalties", () => {
    const options = parse(["--stop", "a", "b", "--stop", "c", "--presence-penalty", "-1.5", "-n", "0"]);
    assert.deepEqual([options.stop, options.presencePenalty, options.tokens], [["a", "b", "c"], -1.5, 0]);
  });
});
