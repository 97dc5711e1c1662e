/** quantize, inspect, eval and trace from end to end: the compiled program in a process of its own. */
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { SafetensorsFile, writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import { EXIT } from "../../host/errors.ts";
import { readGolden, relativeError } from "../reference/support.ts";
import { built, type Ended } from "./lightmamba.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-models-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const ODD = "tests/golden/odd-a";
const IDS = `${ODD}/expected.safetensors`;
const TINY_IDS = "tests/golden/eval.safetensors";
const QUICK = ["--weights", "rtn", "--calibration-tokens", "256"];

// biome-ignore lint/suspicious/noExplicitAny: JSON that the tests are about.
function json({ stdout }: Ended): any {
  assert.equal(stdout.trimEnd().split("\n").length, 1, "one document on one line");
  return JSON.parse(stdout);
}

function read(path: string, name: string): { shape: number[]; values: Float32Array } {
  const file = SafetensorsFile.open(path);
  const bytes = file.readBytes(name).slice();
  const { shape } = file.tensors.get(name)!;
  file.close();
  return { shape, values: new Float32Array(bytes.buffer) };
}

describe("from a checkpoint to numbers", () => {
  const model = join(scratch, "odd-a-w4a4");
  let quantized: Ended;

  before(async () => {
    quantized = await built(["quantize", ODD, "-o", model, ...QUICK]);
  });

  it("quantize: results on standard output, progress and notes on standard error", () => {
    assert.equal(quantized.code, 0);
    const [size, calibration, noise, ...more] = quantized.stdout.trimEnd().split("\n");
    assert.equal(more.length, 0);
    assert.match(size!, /odd-a-w4a4: 0\.\d\d MB$/);
    assert.match(calibration!, /^calibrated on 256 tokens, sampled; there KL to FP32 is [0-9.]+ nats\/token$/);
    assert.match(noise!, /^signal to rounding noise: in_proj \d+\.\d dB, out_proj \d+\.\d dB, lm_head \d+\.\d dB$/);
    assert.match(quantized.stderr, /^sampling calibration text: \d+ %\n/);
    assert.match(quantized.stderr, /: done \([\d.]+ s\)\n/);
    assert.match(quantized.stderr, /\nnote: the checkpoint has no tokenizer: the model takes token ids only\n$/);
    assert.ok(!quantized.stderr.includes("\u001b") && !quantized.stderr.includes("\r"));
  });

  it("quantize --quiet keeps the notes and drops the progress; --json is one document", async () => {
    const [quiet, asJson] = await Promise.all([
      built(["quantize", ODD, "-o", join(scratch, "quiet"), ...QUICK, "--quiet"]),
      built(["quantize", ODD, "-o", join(scratch, "json"), ...QUICK, "--json", "--quiet"]),
    ]);
    assert.match(quiet.stderr, /^note: [^\n]+\n$/);
    const { dir, bytes, notes, description } = json(asJson);
    assert.equal(asJson.stderr, "");
    assert.deepEqual([dir, bytes > 0, notes.length], [join(scratch, "json"), true, 1]);
    assert.equal(description.calibration.tokens, 256);
  });

  it("inspect: what was made of what", async () => {
    const [from, made, text, tensors] = await Promise.all([
      built(["inspect", ODD, "--json"]),
      built(["inspect", model, "--json"]),
      built(["inspect", model]),
      built(["inspect", model, "--tensors"]),
    ]);
    const [checkpoint, result] = [json(from), json(made)];
    assert.deepEqual([checkpoint.kind, result.kind], ["checkpoint", "model"]);
    assert.equal(result.description.sourceSha256, checkpoint.sha256);
    assert.equal(result.parameters, checkpoint.parameters);
    assert.ok(result.bitsPerWeight > 4 && result.bitsPerWeight < 7);
    assert.match(text.stdout, /^kind +quantized model \(lightmamba /);
    assert.match(text.stdout, /\nheads +6 of 16, d_state 32, groups 2\n/);
    assert.ok(tensors.stdout.startsWith(text.stdout));
    assert.match(tensors.stdout, /\nlayers\.2\.out_proj\.frames +U8 /);
    for (const { stderr } of [from, made, text, tensors]) assert.equal(stderr, "");
  });

  it("eval: perplexity, and the distance from the checkpoint", async () => {
    const args = ["eval", model, "--ids-file", IDS, "--reference", ODD, "--simulate"];
    const [asJson, text, limited] = await Promise.all([
      built([...args, "--json", "--quiet"]),
      built(args),
      built(["eval", model, "--ids-file", IDS, "--limit", "5", "--json", "-q"]),
    ]);
    const { tokens, perplexity, reference, simulation, tokensPerSecond } = json(asJson);
    assert.equal(tokens, 23);
    assert.ok(perplexity > 1000 && tokensPerSecond > 0);
    assert.ok(Math.abs(reference.kl / simulation.kl - 1) < 0.3);
    assert.ok(reference.top1Agreement > 0 && reference.referencePerplexity > 100);
    assert.match(text.stdout, /^tokens +23\nperplexity +[\d.]+\n {2}FP32 +[\d.]+\nKL to FP32 +[\d.]+ nats\/token\n/);
    assert.match(text.stderr, /^eval: /);
    assert.deepEqual([json(limited).tokens, json(limited).reference], [4, undefined]);
  });

  it("eval --text takes a file and standard input", async () => {
    const file = join(scratch, "prose.txt");
    writeFileSync(file, "Once upon a time there was a small text.\n");
    const [read_, piped] = await Promise.all([
      built(["eval", "models/tiny-w4a4", "--text", file, "--json"]),
      built(["eval", "models/tiny-w4a4", "--text", "-", "--json"], {
        stdin: "Once upon a time there was a small text.\n",
      }),
    ]);
    const { tokensPerSecond: _, ...expected } = json(read_);
    const { tokensPerSecond: __, ...found } = json(piped);
    assert.deepEqual(found, expected);
  });

  it("trace of the model is near the trace of its checkpoint", async () => {
    const [one, two] = [join(scratch, "m.safetensors"), join(scratch, "c.safetensors")];
    const [traced] = await Promise.all([
      built(["trace", model, "--ids-file", IDS, "-o", one]),
      built(["trace", ODD, "--ids-file", IDS, "-o", two]),
    ]);
    assert.equal(traced.stdout, `${one}: logits [24,259], hidden_states [4,24,48]\n`);
    const [found, expected] = [read(one, "logits"), read(two, "logits")];
    assert.deepEqual(found.shape, expected.shape);
    assert.ok(relativeError(found.values, expected.values) < 0.7);
  });
});

describe("trace", { concurrency: 2 }, () => {
  it("of the checkpoint odd-a has the logits and hidden states of transformers", async () => {
    const output = join(scratch, "odd-a.safetensors");
    const { code, stdout, stderr } = await built(["trace", ODD, "--ids-file", IDS, "-o", output, "--json"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(JSON.parse(stdout), { file: output, tokens: 24, logits: [24, 259], hidden_states: [4, 24, 48] });
    const golden = readGolden(IDS);
    for (const name of ["logits", "hidden_states"]) {
      const { values } = read(output, name);
      assert.ok(relativeError(values, golden.floats(name)) <= 2e-4, name);
    }
    const again = await built(["trace", ODD, "--ids-file", output, "-o", `${output}.2`]);
    assert.equal(again.code, 0, "a trace's own ids can be traced");
  });

  it("of models/tiny-w4a4 is near that of models/tiny", async () => {
    const ids = "47,1307,586,259,567,12,324,494";
    const [plain, quantized] = [join(scratch, "tiny.safetensors"), join(scratch, "tiny-w4a4.safetensors")];
    await Promise.all([
      built(["trace", "models/tiny", "--ids", ids, "-o", plain]),
      built(["trace", "models/tiny-w4a4", "--ids", ids.replaceAll(",", " "), "-o", quantized]),
    ]);
    for (const name of ["logits", "hidden_states"]) {
      const [a, b] = [read(quantized, name), read(plain, name)];
      assert.deepEqual(a.shape, b.shape);
      const noise = a.values.reduce((sum, value, i) => sum + (value - b.values[i]!) ** 2, 0);
      const signal = b.values.reduce((sum, value) => sum + value ** 2, 0);
      assert.ok(noise / signal < 0.12 ** 2, `${name}: ${Math.sqrt(noise / signal)}`);
    }
  });

  it("replaces a file only with --force", async () => {
    const output = join(scratch, "taken.safetensors");
    writeFileSync(output, "precious");
    const args = ["trace", ODD, "--ids", "1,2", "-o", output];
    const refused = await built(args);
    assert.equal(refused.code, EXIT.usage);
    assert.match(refused.stderr, /taken\.safetensors: the output exists\nhint: add --force/);
    assert.equal((await built([...args, "--force"])).code, 0);
    assert.deepEqual(read(output, "logits").shape, [2, 259]);
  });
});

describe("Ctrl-C", () => {
  const interrupted = (parent: string, phase: RegExp) =>
    built(["quantize", "models/tiny", "-o", join(parent, "out"), ...QUICK], {
      onStderr: (text, child) => void (phase.test(text) && child.kill("SIGINT")),
    });

  it("before the first layer of quantize ends with 130 and leaves nothing", async () => {
    const parent = join(scratch, "interrupted-early");
    mkdirSync(parent);
    const { code, stdout } = await interrupted(parent, /sampling calibration text: 20 %/);
    assert.deepEqual([code, stdout], [EXIT.interrupted, ""]);
    assert.deepEqual(readdirSync(parent), []);
  });

  it("behind a layer leaves what is done, and the same command goes on from there", async () => {
    const parent = join(scratch, "interrupted-late");
    mkdirSync(parent);
    const { code, stderr } = await interrupted(parent, /quantizing: [3-9]0 %/);
    assert.equal(code, EXIT.interrupted);
    assert.match(stderr, /the same command goes on from .*out\.resume/);
    assert.deepEqual(readdirSync(parent), ["out.resume"]);
    assert.equal((await interrupted(parent, /never/)).code, 0);
    assert.deepEqual(readdirSync(parent), ["out"]);
    const whole = join(scratch, "whole");
    await built(["quantize", "models/tiny", "-o", whole, ...QUICK]);
    const bytes = (dir: string) => readFileSync(join(dir, "model.safetensors"));
    assert.ok(bytes(join(parent, "out")).equals(bytes(whole)));
  });

  it("in the middle of quantize --force keeps the old directory", async () => {
    const parent = join(scratch, "kept");
    mkdirSync(join(parent, "out"), { recursive: true });
    const args = ["quantize", "models/tiny", "-o", join(parent, "out"), ...QUICK, "--force"];
    const { code } = await built(args, { onStderr: (_, child) => void child.kill("SIGINT") });
    assert.equal(code, EXIT.interrupted);
    assert.deepEqual(readdirSync(parent), ["out"]);
  });
});

describe("the commands refuse", { concurrency: 2 }, () => {
  const missing = join(scratch, "missing");
  const fresh = () => join(scratch, `out-${Math.random()}`);
  const ids = (name: string, dtype: "I32" | "F32", values: Int32Array): string => {
    const path = join(scratch, `${name}-${dtype}-${values.length}.safetensors`);
    const data = new Uint8Array(values.buffer);
    writeSafetensors(path, [{ name, dtype, shape: [values.length], data }]);
    return path;
  };
  const wrongTokenizer = () => {
    const dir = join(scratch, "wrong-tokenizer");
    cpSync(ODD, dir, { recursive: true });
    cpSync("models/tiny/tokenizer.json", join(dir, "tokenizer.json"));
    return dir;
  };

  const CASES: [name: string, args: () => string[], exit: number, message: RegExp][] = [
    ["quantize: no such directory", () => ["quantize", missing, "-o", fresh()], EXIT.badInput, /missing/],
    ["quantize: a model", () => ["quantize", "models/tiny-w4a4", "-o", fresh()], EXIT.unsupported, /quantiz/],
    [
      "quantize: an output that exists",
      () => ["quantize", ODD, "-o", scratch],
      EXIT.usage,
      /the output exists\nhint: .*--force/,
    ],
    [
      "quantize: no such calibration text",
      () => ["quantize", "models/tiny", "-o", fresh(), "--calibration", missing],
      EXIT.badInput,
      /missing: .*no such file/,
    ],
    [
      "quantize: a calibration text that is too short",
      () => ["quantize", "models/tiny", "-o", fresh(), "--calibration", "tests/tsconfig.json"],
      EXIT.badInput,
      /too short/,
    ],
    [
      "quantize: another model's tokenizer",
      () => ["quantize", wrongTokenizer(), "-o", fresh(), ...QUICK],
      EXIT.badInput,
      /more token ids/,
    ],
    [
      "quantize: an unknown option",
      () => ["quantize", ODD, "-o", fresh(), "--rotate", "on"],
      EXIT.usage,
      /unknown option '--rotate'/,
    ],
    ["inspect: no such directory", () => ["inspect", missing], EXIT.badInput, /missing/],
    ["inspect: a directory without a model", () => ["inspect", "docs"], EXIT.badInput, /docs/],
    ["inspect: a file", () => ["inspect", "package.json"], EXIT.badInput, /package\.json/],
    ["eval: a checkpoint", () => ["eval", "models/tiny", "--text", "LICENSE"], EXIT.badInput, /not a model directory/],
    [
      "eval: a text for a model without a tokenizer",
      () => ["eval", join(scratch, "odd-a-w4a4"), "--text", "LICENSE"],
      EXIT.badInput,
      /no tokenizer/,
    ],
    ["eval: an empty text", () => ["eval", "models/tiny-w4a4", "--text", "-"], EXIT.badInput, /nothing to predict/],
    [
      "eval: another model's checkpoint",
      () => ["eval", "models/tiny-w4a4", "--ids-file", TINY_IDS, "--reference", ODD],
      EXIT.badInput,
      /not the checkpoint of this model/,
    ],
    [
      "eval: --simulate without a checkpoint",
      () => ["eval", "m", "--text", "t", "--simulate"],
      EXIT.usage,
      /needs the checkpoint/,
    ],
    ["eval: --limit 1", () => ["eval", "m", "--text", "t", "--limit", "1"], EXIT.usage, /--limit/],
    ["trace: no such directory", () => ["trace", missing, "--ids", "1", "-o", fresh()], EXIT.badInput, /missing/],
    [
      "trace: an id outside the vocabulary",
      () => ["trace", ODD, "--ids", "1,259", "-o", fresh()],
      EXIT.badInput,
      /input_ids\[1\]: .*expected 0 to 258, found 259/,
    ],
    [
      "trace: a huge id",
      () => ["trace", ODD, "--ids", "4294967295", "-o", fresh()],
      EXIT.badInput,
      /outside the vocabulary/,
    ],
    [
      "trace: a negative id in a file",
      () => ["trace", ODD, "--ids-file", ids("input_ids", "I32", Int32Array.of(3, -3)), "-o", fresh()],
      EXIT.badInput,
      /input_ids\[1\].*found -3/,
    ],
    [
      "trace: a file without input_ids",
      () => ["trace", ODD, "--ids-file", ids("ids", "I32", Int32Array.of(1)), "-o", fresh()],
      EXIT.badInput,
      /input_ids: no such tensor .*found ids/,
    ],
    [
      "trace: ids that are no integers",
      () => ["trace", ODD, "--ids-file", ids("input_ids", "F32", Int32Array.of(1)), "-o", fresh()],
      EXIT.badInput,
      /another type .*found F32/,
    ],
    [
      "trace: no ids in the file",
      () => ["trace", ODD, "--ids-file", ids("input_ids", "I32", new Int32Array(0)), "-o", fresh()],
      EXIT.badInput,
      /no token ids/,
    ],
    [
      "trace: an ids file that is none",
      () => ["trace", ODD, "--ids-file", "LICENSE", "-o", fresh()],
      EXIT.badInput,
      /LICENSE/,
    ],
    [
      "trace: an output in no directory",
      () => ["trace", ODD, "--ids", "1", "-o", join(missing, "x")],
      EXIT.usage,
      /cannot be written/,
    ],
  ];
  for (const [name, args, exit, message] of CASES) {
    it(name, async () => {
      const { code, stdout, stderr } = await built(args());
      assert.equal(code, exit, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n {4}at |defect/);
    });
  }

  it("and with --json say it on standard output, with the same code", async () => {
    const { code, stdout, stderr } = await built(["trace", ODD, "--ids", "1,259", "-o", fresh(), "--json"]);
    const { error } = JSON.parse(stdout);
    assert.deepEqual([error.exit, error.code, error.detail.field, stderr], ["badInput", code, "input_ids[1]", ""]);
    assert.equal(code, EXIT.badInput);
  });

  it("and leave no output behind", () => {
    assert.deepEqual(
      readdirSync(scratch).filter((name) => name.startsWith("out-") || name.endsWith(".tmp")),
      [],
    );
    assert.ok(!existsSync(missing));
  });
});
