/** `run` from end to end: the compiled program in a process of its own. */
import assert from "node:assert/strict";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { built, type Ended } from "./lightmamba.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-run-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const PROMPT = "Once upon a time";

function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

interface JsonRun {
  tokens: { id: number; text: string }[];
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what the test is about.
  summary: any;
}

function parseJson({ stdout }: Ended): JsonRun {
  const records = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  return { tokens: records.slice(0, -1), summary: records.at(-1).summary };
}

describe("run", { concurrency: 2 }, () => {
  it("writes prompt and text to standard output, and a summary to standard error", async () => {
    const { code, stdout, stderr } = await built(["run", PROMPT, "-n", "12", "--seed", "3"]);
    assert.equal(code, 0);
    assert.ok(stdout.startsWith(PROMPT) && stdout.endsWith("\n"));
    assert.ok(stdout.length > PROMPT.length + 12);
    assert.match(
      stderr,
      /^\[12 tokens, \d+ tok\/s, first token after [\d.]+ s, 3\.79 MB of weights a token, seed 3\]\n$/,
    );
  });

  it("takes the prompt as an argument, from a file and from standard input", async () => {
    const options = ["-n", "8", "--seed", "5"];
    const [argument, read, piped, dashed] = await Promise.all([
      built(["run", PROMPT, ...options]),
      built(["run", "--prompt-file", file("prompt.txt", PROMPT), ...options]),
      built(["run", "-", ...options], { stdin: PROMPT }),
      built(["run", ...options, "--", PROMPT]),
    ]);
    for (const other of [read, piped, dashed]) assert.equal(other.stdout, argument.stdout);
  });

  it("has a prompt of its own when none is given, and takes an empty one", async () => {
    const [none, empty] = await Promise.all([built(["run", "-n", "2"]), built(["run", "", "-n", "2", "--json"])]);
    assert.ok(none.stdout.startsWith("Once upon a time"));
    assert.equal(parseJson(empty).summary.promptTokens, 1);
  });

  it("draws a seed where none is given, and shows it: the text can be had again", async () => {
    const first = parseJson(await built(["run", PROMPT, "-n", "10", "--json"]));
    const again = parseJson(await built(["run", PROMPT, "-n", "10", "--json", "--seed", `${first.summary.seed}`]));
    assert.deepEqual(again.tokens, first.tokens);
  });

  it("--json: a token a line, then the summary, and nothing on standard error", async () => {
    const [asJson, asText] = await Promise.all([
      built(["run", PROMPT, "-n", "6", "--seed", "3", "--json"]),
      built(["run", PROMPT, "-n", "6", "--seed", "3"]),
    ]);
    const { tokens, summary } = parseJson(asJson);
    assert.equal(asJson.stderr, "");
    assert.equal(`${PROMPT}${tokens.map(({ text }) => text).join("")}\n`, asText.stdout);
    for (const token of tokens) assert.deepEqual(Object.keys(token), ["id", "text"]);
    const { promptTokens, tokens: count, finish, pending, seed, device, weightBytesPerToken, stateBytes } = summary;
    assert.deepEqual(
      { promptTokens, count, finish, pending, seed, device, weightBytesPerToken, stateBytes },
      {
        ...{ promptTokens: 5, count: 6, finish: "length", pending: tokens.at(-1)!.id, seed: 3, device: "wasm" },
        ...{ weightBytesPerToken: 3786752, stateBytes: 739904 },
      },
    );
    for (const time of ["promptSeconds", "seconds", "tokensPerSecond", "timeToFirstToken"]) {
      assert.ok(summary[time] > 0, time);
    }
  });

  it("--tokens 0 reads the prompt and writes nothing", async () => {
    const { tokens, summary } = parseJson(await built(["run", PROMPT, "-n", "0", "--json"]));
    assert.deepEqual([tokens, summary.tokens, summary.finish], [[], 0, "length"]);
  });

  it("--greedy gives one text, that of --temperature 0 with any seed, and of top-k 1", async () => {
    const runs = await Promise.all(
      [["--greedy"], ["--temperature", "0", "--seed", "1"], ["--top-k", "1", "--seed", "2"]].map((options) =>
        built(["run", PROMPT, "-n", "15", ...options]),
      ),
    );
    assert.equal(new Set(runs.map(({ stdout }) => stdout)).size, 1);
  });

  it("--stop ends the text before a stop text", async () => {
    const whole = (await built(["run", PROMPT, "-n", "20", "--greedy"])).stdout.slice(PROMPT.length).trimEnd();
    const stop = whole.slice(9, 16);
    const [text, json] = await Promise.all([
      built(["run", PROMPT, "-n", "20", "--greedy", "--stop", "never to be found", "--stop", stop]),
      built(["run", PROMPT, "-n", "20", "--greedy", "--json", "--stop", stop, "never to be found"]),
    ]);
    assert.equal(text.stdout, `${PROMPT}${whole.slice(0, whole.indexOf(stop))}\n`);
    assert.match(text.stderr, /ended by stop\]/);
    assert.equal(parseJson(json).summary.finish, "stop");
  });

  it("--quiet leaves the text alone and says nothing else", async () => {
    const [loud, quiet] = await Promise.all([
      built(["run", PROMPT, "-n", "5", "--greedy"]),
      built(["run", PROMPT, "-n", "5", "--greedy", "--quiet"]),
    ]);
    assert.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [0, loud.stdout, ""]);
  });

  it("has no colours in a pipe, has them when forced, not when refused, and never in the text", async () => {
    const run = (env: NodeJS.ProcessEnv, ...flags: string[]) =>
      built(["run", PROMPT, "-n", "2", "--seed", "0", ...flags], { env });
    const [plain, forced, refused, flag] = await Promise.all([
      run({}),
      run({ FORCE_COLOR: "1" }),
      run({ FORCE_COLOR: "1", NO_COLOR: "1" }),
      run({ FORCE_COLOR: "1" }, "--no-color"),
    ]);
    const coloured = (text: string) => text.includes("\u001b");
    assert.deepEqual(
      [plain, forced, refused, flag].map(({ stderr }) => coloured(stderr)),
      [false, true, false, false],
    );
    assert.deepEqual(
      [plain, forced, refused, flag].map(({ stdout }) => coloured(stdout)),
      [false, false, false, false],
    );
  });

  it("finds the embedded model from any directory", async () => {
    const { code, stdout } = await built(["run", PROMPT, "-n", "3", "--seed", "1"], { cwd: scratch });
    assert.equal(code, 0);
    assert.ok(stdout.startsWith(PROMPT));
  });

  it("ends well when its reader goes away", async () => {
    const { code, stderr } = await built(["run", PROMPT, "-n", "4000", "--seed", "1"], {
      onStdout: (child) => child.stdout!.destroy(),
    });
    assert.deepEqual([code, stderr], [0, ""]);
  });

  it("ends with 130 at Ctrl-C, its line ended", async () => {
    const { code, stdout } = await built(["run", PROMPT, "-n", "16000000", "--seed", "1"], {
      onStdout: (child) => void child.kill("SIGINT"),
    });
    assert.equal(code, EXIT.interrupted);
    assert.ok(stdout.endsWith("\n"));
  });
});

describe("a saved conversation", { concurrency: 2 }, () => {
  const SAMPLERS: [name: string, options: string[]][] = [
    ["greedy", ["--greedy"]],
    ["drawn", ["--temperature", "1", "--top-p", "0.9"]],
    ["with penalties", ["--temperature", "0.9", "--repetition-penalty", "1.2", "--frequency-penalty", "0.3"]],
  ];
  for (const [name, options] of SAMPLERS) {
    it(`${name}: goes on as if it had never ended, twice`, async () => {
      const seed = name === "greedy" ? [] : ["--seed", "11"];
      const ids = async (...args: string[]) =>
        parseJson(await built(["run", ...args, ...options, "--json"])).tokens.map(({ id }) => id);
      const [one, two] = [join(scratch, `${name}.1`), join(scratch, `${name}.2`)];
      const whole = await ids(PROMPT, "-n", "24", ...seed);
      const first = await ids(PROMPT, "-n", "7", ...seed, "--save-state", one);
      const second = await ids("-n", "1", "--load-state", one, "--save-state", two);
      const third = await ids("-n", "16", "--load-state", two);
      assert.deepEqual([...first, ...second, ...third], whole);
    });
  }

  it("takes more text, as if it had been there", async () => {
    const state = join(scratch, "more.state");
    const first = parseJson(await built(["run", PROMPT, "-n", "6", "--greedy", "--json", "--save-state", state]));
    const more = await built(["run", " and then", "-n", "6", "--greedy", "--json", "--load-state", state]);
    assert.equal(parseJson(more).summary.promptTokens, 1 + 2);
    assert.notEqual(first.tokens.length, 0);
  });

  it("shows what is new only", async () => {
    const state = join(scratch, "new.state");
    await built(["run", PROMPT, "-n", "4", "--greedy", "--save-state", state]);
    const [whole, rest] = await Promise.all([
      built(["run", PROMPT, "-n", "8", "--greedy"]),
      built(["run", "-n", "4", "--greedy", "--load-state", state]),
    ]);
    assert.ok(whole.stdout.endsWith(rest.stdout));
    assert.ok(!rest.stdout.includes(PROMPT));
  });
});

describe("run refuses", { concurrency: 2 }, () => {
  const missing = join(scratch, "missing");
  /** Every row is run as it stands: the arguments, the exit code, and words of the message. */
  const CASES: [name: string, args: () => string[], exit: number, message: RegExp][] = [
    ["a board without a device", () => ["--uio", "/dev/uio0"], EXIT.usage, /--uio: .*\nhint: add --device board/],
    [
      "a board's memory with a simulation",
      () => ["--device", "rtl", "--memory", "f,0,64"],
      EXIT.usage,
      /--memory: .*\nhint: add --device board/,
    ],
    [
      "ports on a board",
      () => ["--device", "board", "--ports", "4"],
      EXIT.usage,
      /--ports: .*\nhint: add --device rtl/,
    ],
    [
      "a partition without a device",
      () => ["--partition", "split"],
      EXIT.usage,
      /--partition: .*\nhint: add --device rtl/,
    ],
    ["ports without a device", () => ["--ports", "4"], EXIT.usage, /--ports: .*\nhint: add --device rtl/],
    ["another partition", () => ["--device", "rtl", "--partition", "both"], EXIT.usage, /Expected fused or split/],
    ["another number of ports", () => ["--device", "rtl", "--ports", "2"], EXIT.usage, /Expected 1 or 4/],
    ["threads on a device", () => ["--device", "rtl", "--threads", "2"], EXIT.usage, /threads have nothing to do/],
    [
      "no such model for a device",
      () => ["--device", "rtl", "--model", missing],
      EXIT.badInput,
      /not a model directory/,
    ],
    ["no such model", () => ["--model", missing], EXIT.badInput, /missing: not a model directory/],
    [
      "a checkpoint for a model",
      () => ["--model", "models/tiny"],
      EXIT.badInput,
      /not a model directory.*\nhint: make one/,
    ],
    ["no such prompt file", () => ["--prompt-file", missing], EXIT.badInput, /missing: no such file/],
    [
      "a prompt that is no UTF-8",
      () => ["--prompt-file", file("latin1", Uint8Array.of(0xe9))],
      EXIT.badInput,
      /not UTF-8/,
    ],
    ["no such state", () => ["--load-state", missing], EXIT.badInput, /missing/],
    ["a state that is none", () => ["--load-state", file("x.state", "no state")], EXIT.badInput, /x\.state/],
    ["another file for a state", () => ["--load-state", "tests/golden/eval.safetensors"], EXIT.badInput, /not a state/],
    [
      "a model that is cut short",
      () => ["--model", changedModel("cut", (all) => all.subarray(0, -64))],
      EXIT.verification,
      /model\.safetensors/,
    ],
    [
      "a state file in no directory",
      () => ["-n", "1", "--save-state", join(missing, "a")],
      EXIT.usage,
      /cannot be written/,
    ],
    ["an unknown option", () => ["--sead", "1"], EXIT.usage, /unknown option '--sead'/],
  ];
  for (const [name, args, exit, message] of CASES) {
    it(name, async () => {
      const { code, stderr } = await built(["run", ...args()]);
      assert.equal(code, exit, stderr);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n {4}at |defect/);
    });
  }

  function changedModel(name: string, edit: (weights: Buffer) => Uint8Array): string {
    const dir = join(scratch, name);
    cpSync("models/tiny-w4a4", dir, { recursive: true });
    const weights = join(dir, "model.safetensors");
    writeFileSync(weights, edit(readFileSync(weights)));
    return dir;
  }

  it("the state of another model, or a damaged one", async () => {
    const state = join(scratch, "good.state");
    await built(["run", PROMPT, "-n", "2", "--save-state", state]);
    const other = join(scratch, "other");
    await built([
      "quantize",
      "models/tiny",
      "-o",
      other,
      "--weights",
      "rtn",
      "--calibration-tokens",
      "256",
      "--seed",
      "1",
    ]);
    const damaged = join(scratch, "damaged.state");
    copyFileSync(state, damaged);
    const bytes = readFileSync(damaged);
    bytes[bytes.length - 99]! ^= 1;
    writeFileSync(damaged, bytes);
    const [foreign, broken] = await Promise.all([
      built(["run", "--model", other, "--load-state", state]),
      built(["run", "--load-state", damaged]),
    ]);
    assert.match(foreign.stderr, /good\.state: model: not a state of this model/);
    assert.match(broken.stderr, /damaged\.state: the checksum does not hold/);
    assert.deepEqual([foreign.code, broken.code], [EXIT.badInput, EXIT.verification]);
  });

  it("to go on from a state that ended before its first token, without a text", async () => {
    const state = join(scratch, "zero.state");
    await built(["run", PROMPT, "-n", "0", "--save-state", state]);
    const { code, stderr } = await built(["run", "--load-state", state, "-n", "1"]);
    assert.equal(code, EXIT.usage);
    assert.match(stderr, /nothing to go on from\nhint: give a prompt/);
  });
});
