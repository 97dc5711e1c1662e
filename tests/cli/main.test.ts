import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { COMMANDS } from "../../host/cli/program.ts";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "./lightmamba.ts";

const version = (JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version;

describe("lightmamba", { concurrency: 3 }, () => {
  it("prints its version", async () => {
    for (const flag of ["--version", "-V"]) {
      assert.deepEqual(await lightmamba([flag]), { code: 0, signal: null, stdout: `${version}\n`, stderr: "" });
    }
  });

  it("without arguments, prints help on standard output", async () => {
    const [bare, asked] = await Promise.all([lightmamba([]), lightmamba(["--help"])]);
    assert.equal(bare.code, 0);
    assert.equal(bare.stdout, asked.stdout);
    for (const name of Object.keys(COMMANDS)) assert.match(bare.stdout, new RegExp(`^ {2}${name} `, "m"));
  });

  for (const name of Object.keys(COMMANDS)) {
    it(`${name}: help has examples that start with its name, and the global options`, async () => {
      const { code, stdout, stderr } = await lightmamba([name, "--help"]);
      assert.equal(code, 0);
      assert.equal(stderr, "");
      assert.match(stdout, new RegExp(`Examples:\\n {2}# .+\\n {2}lightmamba ${name}`));
      assert.match(stdout, /--json/);
    });
  }

  it("help <command> is <command> --help", async () => {
    const [word, flag] = await Promise.all([lightmamba(["help", "run"]), lightmamba(["run", "--help"])]);
    assert.equal(word.stdout, flag.stdout);
  });
});

describe("usage errors", { concurrency: 3 }, () => {
  const CASES: [args: string[], stderr: RegExp][] = [
    [["tokenise"], /^lightmamba: unknown command 'tokenise'\nhint: Did you mean tokenize\?\n$/],
    [["help", "tokenise"], /unknown command 'tokenise'\nhint: Did you mean tokenize\?/],
    [["frobnicate"], /^lightmamba: unknown command 'frobnicate'\nhint: add --help for help\n$/],
    [["run", "--sed", "3"], /^lightmamba: unknown option '--sed'\nhint: Did you mean --seed\?\n$/],
    [["--jsn"], /unknown option '--jsn'\nhint: Did you mean --json\?/],
    [["--quiet"], /no command given/],
    [["run", "--seed"], /'--seed <number>' argument missing/],
    [["run", "--seed", "-1"], /Expected a whole number from 0 to 4294967295/],
    [["run", "--seed", "1.5"], /Expected a whole number/],
    [["run", "-n", "ten"], /'-n, --tokens <count>' argument 'ten' is invalid/],
    [["run", "--top-p", "0"], /Expected a number above 0 up to 1/],
    [["run", "--temperature", "warm"], /Expected a number from 0 to 100/],
    [["run", "--device", "gpu"], /Expected wasm, rtl or board/],
    [["run", "--greedy", "--seed", "3"], /'--greedy' cannot be used with option '--seed <number>'/],
    [["run", "Once", "upon"], /too many arguments/],
    [["run", "Once", "--prompt-file", "LICENSE"], /not both/],
    [["quantize"], /required option '-o, --output <dir>' not specified/],
    [["quantize", "-o", "out"], /missing required argument 'checkpoint'/],
    [["quantize", "x", "-o", "out", "--rotation", "maybe"], /Expected on, off or auto/],
    [["quantize", "x", "-o", "out", "--head-bits", "3"], /Expected 4 or 8/],
    [["eval", "models/tiny"], /nothing to evaluate on\nhint: give --text/],
    [["eval", "m", "--text", "a", "--ids-file", "b"], /cannot be used with/],
    [["trace", "m", "-o", "f"], /no tokens to trace/],
    [["trace", "m", "-o", "f", "--ids", "1,x"], /Expected token ids separated by commas/],
    [["inspect"], /missing required argument 'dir'/],
    [["tokenize"], /no text given/],
    [["tokenize", "a", "--decode", "1"], /not both/],
  ];

  for (const [args, expected] of CASES) {
    it(args.join(" "), async () => {
      const { code, stdout, stderr } = await lightmamba(args);
      assert.equal(code, EXIT.usage);
      assert.equal(stdout, "");
      assert.match(stderr, expected);
      assert.match(stderr, /^lightmamba: [^\n]+\n(hint: [^\n]+\n)?$/);
    });
  }
});

describe("--json", { concurrency: 3 }, () => {
  it("reports an error as one object on standard output, wherever the option stands", async () => {
    for (const args of [
      ["--json", "run", "--sed"],
      ["run", "--sed", "--json"],
    ]) {
      const { code, stdout, stderr } = await lightmamba(args);
      assert.equal(code, EXIT.usage);
      assert.equal(stderr, "");
      assert.deepEqual(JSON.parse(stdout), {
        error: {
          exit: "usage",
          code: 2,
          message: "unknown option '--sed'",
          detail: { hint: "Did you mean --seed?" },
        },
      });
    }
  });

  it("carries the parts of a fault in a file", async () => {
    const { code, stdout } = await lightmamba(["tokenize", "x", "--model", "no/such", "--json"]);
    assert.equal(code, EXIT.badInput);
    const { error } = JSON.parse(stdout) as { error: { exit: string; detail: { file: string } } };
    assert.equal(error.exit, "badInput");
    assert.match(error.detail.file, /no.such.tokenizer\.json$/);
  });
});

describe("the ends of a run", { concurrency: 3 }, () => {
  it("a file that cannot be read is no defect of ours", async () => {
    const { code, stderr } = await lightmamba(["tokenize", "-m", "models/tiny", "--file", "no-such.txt"]);
    assert.equal(code, EXIT.badInput);
    assert.equal(stderr, "lightmamba: no-such.txt: no such file or directory\n");
  });

  it("a reader that closes its end is a good end", async () => {
    // Far more than a pipe holds, so that writing goes on after the reader has left.
    const text = "word ".repeat(200_000);
    const child = spawn(process.execPath, ["host/cli/main.ts", "tokenize", "-m", "models/tiny", "-"]);
    child.stdin.on("error", () => {}).end(text);
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (piece: string) => (stderr += piece));
    child.stdout.once("data", () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  });

  it("Ctrl-C is 130", async () => {
    // Progress is written after the handler is installed: no signal can come too early.
    const { code } = await lightmamba(["quantize", "models/tiny", "-o", "build/interrupted"], {
      onStderr: (_, child) => void child.kill("SIGINT"),
    });
    assert.equal(code, EXIT.interrupted);
  });
});
