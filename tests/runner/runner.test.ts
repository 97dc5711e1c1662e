/** The board's program against the host's: the same tokens, texts and states, whatever machine it is built for; and a clear end where something is wrong. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { scratchFolder } from "../firmware.ts";
import { boardModel, type RunOptions, run, runnerFor, start, type Target } from "./support.ts";

const folder = scratchFolder();
const { skip } = runnerFor("native");
const models = skip ? { relaxed: "", plain: "" } : { relaxed: boardModel(folder), plain: boardModel(folder, "plain") };
/** Of what a board holds beside the model, in bytes. */
const MOST_PROGRAM = 12 * 2 ** 20;
/** PT_INTERP: who loads libraries. */
const INTERPRETER = 3;
const MOST_MEMORY = 32 * 2 ** 20;

const TEXTS: readonly string[][] = [
  ["Once upon a time", "--seed", "3", "-n", "24"],
  ["It was", "--seed", "4", "-n", "24", "--temperature", "1.3", "--top-k", "30", "--min-p", "0.02"],
  ["", "--greedy", "-n", "16"],
  ["Grüße, “Löwe” — 世界 ", "--seed", "5", "-n", "24", "--repetition-penalty", "1.2", "--presence-penalty", "0.1"],
  ["Once upon a time", "--seed", "3", "-n", "40", "--stop", "spy"],
];

function generate(model: string, args: readonly string[], options: RunOptions = {}) {
  return run(["run", ...args, "--model", model, "--device", "wasm"], options);
}

/** What both say in the same words. */
function tokensOf(stdout: string): unknown[] {
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ id }) => id !== undefined);
}

describe("run", { skip }, () => {
  for (const args of TEXTS) {
    it(`writes the text of the host: ${args.join(" ")}`, async () => {
      const expected = await lightmamba(["run", ...args]);
      for (const model of Object.values(models)) {
        const { code, stdout } = generate(model, args);
        assert.deepEqual([code, stdout], [0, expected.stdout]);
      }
    });
  }

  it("tells tokens as the host does, and the same summary", async () => {
    const args = [...TEXTS[0]!, "--json"];
    const [expected, found] = [await lightmamba(["run", ...args]), generate(models.relaxed, args)];
    assert.deepEqual(tokensOf(found.stdout), tokensOf(expected.stdout));
    const summary = (text: string) => JSON.parse(text.trim().split("\n").at(-1)!).summary;
    const [a, b] = [summary(found.stdout), summary(expected.stdout)];
    assert.deepEqual(Object.keys(a).sort(), Object.keys(b).sort());
    for (const key of [
      "promptTokens",
      "tokens",
      "finish",
      "pending",
      "seed",
      "device",
      "weightBytesPerToken",
      "stateBytes",
    ])
      assert.deepEqual(a[key], b[key], key);
  });

  it("gives the same text with any number of threads", () => {
    const expected = generate(models.relaxed, TEXTS[0]!).stdout;
    for (const threads of ["2", "3"]) {
      const { stdout, stderr } = generate(models.relaxed, [...TEXTS[0]!, "--threads", threads]);
      assert.equal(stdout, expected);
      assert.match(stderr, new RegExp(`${threads} threads`));
    }
  });

  it("goes on from the host's state, and the host from its", async () => {
    const [ours, theirs] = [join(folder, "ours.state"), join(folder, "theirs.state")];
    const begin = ["It was", "--seed", "9", "-n", "6"];
    assert.equal(generate(models.relaxed, [...begin, "--save-state", ours]).code, 0);
    assert.equal((await lightmamba(["run", ...begin, "--save-state", theirs])).code, 0);
    const whole = (await lightmamba(["run", ...begin.slice(0, 3), "-n", "12"])).stdout.trimEnd();
    for (const [from, second] of [
      [ours, await lightmamba(["run", "--load-state", ours, "-n", "6"])],
      [theirs, generate(models.relaxed, ["--load-state", theirs, "-n", "6"])],
    ] as const) {
      assert.ok(
        whole.endsWith(second.stdout.trimEnd()) && second.stdout.trim() !== "",
        `${from}: ${second.stdout}${second.stderr}`,
      );
    }
    const fork = join(folder, "fork.state");
    assert.equal(run(["state", "fork", ours, fork]).code, 0);
    assert.ok(readFileSync(fork).equals(readFileSync(ours)));
    truncateSync(fork, 1000);
    const broken = run(["state", "show", fork]);
    assert.deepEqual(
      [broken.code, /fork\.state: .*not the bytes/.test(broken.stderr)],
      [EXIT.badInput, true],
      broken.stderr,
    );
  });
});

describe("the program for the board", { skip: runnerFor("aarch64").skip }, () => {
  it("writes the same text on the emulated A72, in few bytes", async () => {
    const args = TEXTS[0]!;
    const expected = await lightmamba(["run", ...args]);
    for (const model of Object.values(models)) {
      const { code, stdout, stderr } = generate(model, args, { target: "aarch64" });
      assert.deepEqual([code, stdout], [0, expected.stdout], stderr);
    }
    assert.ok(statSync(runnerFor("aarch64").runner).size <= MOST_PROGRAM);
  });

  it("needs nothing but itself, and has its licences", () => {
    const elf = readFileSync(runnerFor("aarch64").runner);
    const headers = Number(elf.readBigUInt64LE(32));
    const types = Array.from({ length: elf.readUInt16LE(56) }, (_, i) =>
      elf.readUInt32LE(headers + i * elf.readUInt16LE(54)),
    );
    assert.ok(!types.includes(INTERPRETER), "linked dynamically");
    const path = join(runnerFor("aarch64").runtime, "../components.json");
    const components = JSON.parse(readFileSync(path, "utf8"));
    assert.ok(components.length > 50);
    for (const { name, version, licence, sha256 } of components)
      assert.ok(version && licence && /^[0-9a-f]{64}$/.test(sha256), `${name}: ${licence}, ${sha256}`);
  });
});

describe("memory", { skip: skip || process.platform !== "linux" }, () => {
  it("is the model's, and little beside", async () => {
    const child = start(["serve", "--model", models.relaxed, "--device", "wasm", "-n", "8"]);
    try {
      child.stdin!.write("Once upon a time\n");
      for await (const chunk of child.stdout!) if (String(chunk).includes("\n")) break;
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      const peak = 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)![1]);
      const model = statSync(join(models.relaxed, "model.safetensors")).size;
      assert.ok(peak <= model + MOST_MEMORY, `${peak} bytes`);
    } finally {
      child.kill();
    }
  });
});

describe("selftest and doctor", { skip }, () => {
  it("find a model that is whole", () => {
    for (const target of ["native", "aarch64"] as Target[]) {
      if (runnerFor(target).skip) continue;
      const test = run(["selftest", "--model", models.relaxed, "--device", "wasm"], { target });
      assert.deepEqual([test.code, test.stdout.includes("ok    text: 8 tokens")], [0, true], test.stderr);
    }
    const doctor = run(["doctor", "--model", models.relaxed]);
    assert.deepEqual([doctor.code, doctor.stdout.includes("fail")], [0, false], doctor.stdout);
  });

  it("bench says how fast, as JSON too", () => {
    const { stdout } = run([
      "bench",
      "--model",
      models.relaxed,
      "--device",
      "wasm",
      "-n",
      "4",
      "--prefill",
      "4",
      "--json",
    ]);
    const { decodeTokensPerSecond, prefillTokensPerSecond } = JSON.parse(stdout);
    assert.ok(decodeTokensPerSecond > 0 && prefillTokensPerSecond > 0);
  });
});

describe("what is not as it must be is refused", { skip }, () => {
  /** A copy of the model, changed. */
  const changed = (change: (dir: string) => void): string => {
    const dir = join(folder, "changed");
    rmSync(dir, { recursive: true, force: true });
    cpSync(models.relaxed, dir, { recursive: true });
    change(dir);
    return dir;
  };
  const edit = (dir: string, change: (setup: Record<string, never>) => void) => {
    const path = join(dir, "setup.json");
    const setup = JSON.parse(readFileSync(path, "utf8"));
    change(setup);
    writeFileSync(path, JSON.stringify(setup));
  };
  const flip = (path: string, at: number) => {
    const bytes = readFileSync(path);
    bytes[at]! ^= 1;
    writeFileSync(path, bytes);
  };
  type Setup = {
    format_version: number;
    runtime: { sha256: string };
    calls: { args: number[]; call: string }[];
    device: { ports: { in_proj: number[]; bound_cycles: number }[] };
  };
  const setup = (change: (setup: Setup) => void) => (dir: string) => edit(dir, change as never);

  const cases: [name: string, change: (dir: string) => void, exit: keyof typeof EXIT, message: RegExp][] = [
    ["no model", (dir) => rmSync(dir, { recursive: true }), "badInput", /setup\.json: no such file/],
    ["a model of the host", (dir) => rmSync(join(dir, "setup.json")), "badInput", /setup\.json/],
    [
      "weights that were cut",
      (dir) => truncateSync(join(dir, "model.safetensors"), 4096),
      "verification",
      /another size .*found 4096/,
    ],
    [
      "a flipped bit",
      (dir) => flip(join(dir, "model.safetensors"), 3_000_000),
      "verification",
      /model\.safetensors: the file was changed/,
    ],
    ["no tokenizer", (dir) => rmSync(join(dir, "tokenizer.json")), "badInput", /tokenizer\.json: no such file/],
    [
      "another tokenizer",
      (dir) => flip(join(dir, "tokenizer.json"), 10),
      "verification",
      /tokenizer\.json: the file was changed/,
    ],
    [
      "a later version",
      setup((s) => {
        s.format_version = 3;
      }),
      "unsupported",
      /format_version.*expected 2, found 3/,
    ],
    [
      "no bytes to move",
      setup((s) => {
        s.device.ports[0]!.bound_cycles = 0;
      }),
      "badInput",
      /bound_cycles.*expected above 0, found 0/,
    ],
    [
      "a half-written setup",
      (dir) => truncateSync(join(dir, "setup.json"), 1000),
      "badInput",
      /setup\.json: not as it must be/,
    ],
    [
      "another runtime",
      setup((s) => {
        s.runtime.sha256 = "0".repeat(64);
      }),
      "verification",
      /prepared for another runtime/,
    ],
    [
      "a call that sets up nothing",
      setup((s) => {
        s.calls[3]!.call = "forward";
      }),
      "badInput",
      /calls\[3\], forward: not a call/,
    ],
    [
      "other arguments",
      setup((s) => {
        s.calls[1]!.args.push(1);
      }),
      "badInput",
      /calls\[1\].*not the arguments/,
    ],
    [
      "ports that are not there",
      setup((s) => {
        s.device.ports[0]!.in_proj = [7];
      }),
      "badInput",
      /device\.ports: not as it must be/,
    ],
  ];
  for (const [name, change, exit, message] of cases) {
    it(name, () => {
      const { code, stdout, stderr } = generate(changed(change), ["Hello", "-n", "1"]);
      assert.match(stderr, message);
      assert.deepEqual([code, stdout], [EXIT[exit], ""], stderr);
    });
  }

  const runtimes: [name: string, change: (file: string) => void, message: RegExp][] = [
    ["a compiled runtime that was cut", (file) => truncateSync(file, 50_000), /bytes.*expected \d+, found \d+/],
    ["one that is empty", (file) => truncateSync(file, 0), /header/],
    ["one with a flipped bit", (file) => flip(file, 100_000), /sha256/],
    [
      "one for another processor",
      (file) => cpSync(join(runnerFor("aarch64").runtime, "relaxed.cwasm"), file),
      /target: .*|target/,
    ],
    ["none", (file) => rmSync(file), /relaxed\.cwasm: no such file/],
  ];
  for (const [name, change, message] of runtimes) {
    it(name, { skip: name.includes("processor") && runnerFor("aarch64").skip }, () => {
      const runtime = join(folder, "runtime");
      rmSync(runtime, { recursive: true, force: true });
      mkdirSync(runtime);
      for (const file of readdirSync(runnerFor("native").runtime))
        cpSync(join(runnerFor("native").runtime, file), join(runtime, file));
      change(join(runtime, "relaxed.cwasm"));
      const { code, stderr } = generate(models.relaxed, ["Hello", "-n", "1"], { runtime });
      assert.match(stderr, message);
      assert.equal(code, EXIT.badInput);
    });
  }

  const usage: [args: string[], message: RegExp][] = [
    [["run", "--tokens", "-1"], /invalid value|unexpected argument/],
    [["run", "--device", "gpu"], /invalid value 'gpu'/],
    [["run", "--device", "wasm", "--uio", "/dev/uio0"], /--uio: this is not about --device wasm/],
    [["run", "--device", "wasm", "--partition", "split"], /--partition: this is not about/],
    [["fly"], /unrecognized subcommand 'fly'/],
  ];
  for (const [args, message] of usage) {
    it(args.join(" "), () => {
      const { code, stderr } = run([...args, "--model", models.relaxed].slice(0, args[0] === "fly" ? 1 : undefined));
      assert.match(stderr, message);
      assert.equal(code, EXIT.usage);
    });
  }

  it("a board that is not there, and never in silence the processor", () => {
    const { code, stderr } = run([
      "run",
      "Hello",
      "-n",
      "1",
      "--model",
      models.relaxed,
      "--device",
      "board",
      "--uio",
      "/dev/no-uio",
    ]);
    assert.match(stderr, /\/dev\/no-uio: cannot be opened/);
    assert.equal(code, EXIT.device);
  });
});
