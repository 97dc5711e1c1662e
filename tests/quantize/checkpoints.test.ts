/** quantize on every kind of checkpoint, and what it leaves where it fails: nothing. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import { LightMambaError } from "../../host/errors.ts";
import { inspect } from "../../host/inspect.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { type QuantizeOptions, quantizeCheckpoint } from "../../host/quantize/index.ts";
import { activationHook, modelOnDisk, simulatedWeights } from "../../host/quantize/simulate.ts";
import { Reference, weightsFromCheckpoint } from "../../host/reference/index.ts";
import { trace } from "../../host/trace.ts";
import { columns } from "../reference/support.ts";
import {
  copyOf,
  editTensor,
  emptyDirectory,
  expectRejection,
  filesBelow,
  GOLDEN,
  goldenIds,
  NO_FULL_HADAMARD,
  newOutput,
  ODD,
  randomCheckpoint,
  TINY,
} from "./support.ts";

/** Quick: to nearest, on little text. */
const FEW: QuantizeOptions = { calibrationTokens: 256, threads: 1, weights: { method: "rtn" } };
const FEEDBACK: QuantizeOptions = { calibrationTokens: 1024, weights: { method: "gptq" } };

describe("quantize takes", () => {
  const CASES: [name: string, dir: string, ids: () => Int32Array, notes: RegExp[]][] = [
    ...ODD.map((golden): [string, string, () => Int32Array, RegExp[]] => [
      golden,
      join(GOLDEN, golden),
      () => goldenIds(`${golden}/expected.safetensors`),
      [/no tokenizer/],
    ]),
    [
      "sizes without a full Hadamard",
      randomCheckpoint(NO_FULL_HADAMARD),
      () => Int32Array.from({ length: 40 }, (_, i) => (i * 17) % 61),
      [/no tokenizer/, /d_model = 50 .*25 blocks/, /d_inner = 100 .*5 blocks/],
    ],
  ];

  for (const [name, dir, idsOf, notes] of CASES) {
    it(`${name}: the model runs, as far from FP32 as the float simulation of its codes`, async () => {
      const { output } = newOutput();
      const result = await quantizeCheckpoint(dir, output, FEW);
      assert.equal(result.notes.length, notes.length);
      notes.forEach((note, i) => void assert.match(result.notes[i]!, note));
      const { model, simulation, apart } = await distances(dir, output, idsOf());
      // Random weights have no structure that 4 bits could keep: a good part of the signal is noise.
      assert.ok(model < 0.6, `off by ${model}`);
      assert.ok(model < 1.25 * simulation, `off by ${model}, the simulation by ${simulation}`);
      assert.ok(apart < simulation, `the simulation is off by ${simulation}, and the model from it by ${apart}`);
    });

    it(`${name}: with 8-bit activations, the integers follow the simulation closely`, async () => {
      const { output } = newOutput();
      await quantizeCheckpoint(dir, output, {
        ...FEW,
        activationBits: 8,
        weights: { method: "rtn", wide: ["lm_head"] },
      });
      const { model, apart } = await distances(dir, output, idsOf());
      assert.ok(model < 0.5, `off by ${model}`);
      assert.ok(apart < 0.12, `the model and the simulation are ${apart} apart`);
    });

    it(`${name}: error feedback brings it no further off`, async () => {
      const [plain, fed] = [newOutput().output, newOutput().output];
      await quantizeCheckpoint(dir, plain, { ...FEEDBACK, weights: { method: "rtn" } });
      await quantizeCheckpoint(dir, fed, FEEDBACK);
      const [without, having] = [await distances(dir, plain, idsOf()), await distances(dir, fed, idsOf())];
      assert.ok(having.simulation < 1.05 * without.simulation, `${having.simulation}, without ${without.simulation}`);
    });

    it(`${name}: also without the rotation, and with other seeds, which give other bytes`, async () => {
      const hashes = [];
      for (const options of [{}, { seed: 1 }, { rotation: "off" as const }]) {
        const { output } = newOutput();
        const { description } = await quantizeCheckpoint(dir, output, { ...FEW, ...options });
        const { model } = await distances(dir, output, idsOf());
        assert.ok(model < 0.6, `${JSON.stringify(options)}: off by ${model}`);
        hashes.push(description.weightsSha256);
      }
      assert.equal(new Set(hashes).size, 3);
    });
  }

  for (const [name, options] of [
    ["to nearest", { ...FEW, calibrationTokens: 1024 }],
    ["with error feedback", FEEDBACK],
  ] as const) {
    it(`${name}: the same bytes come out twice, whatever the number of threads`, async () => {
      const outputs = [1, 1, 3].map((threads) => ({ threads, output: newOutput().output }));
      for (const { threads, output } of outputs) {
        await quantizeCheckpoint(join(GOLDEN, "odd-b"), output, { ...options, threads });
      }
      const [first, ...others] = outputs.map(({ output }) => output);
      for (const file of filesBelow(first!)) {
        for (const other of others) {
          assert.ok(readFileSync(join(first!, file)).equals(readFileSync(join(other, file))), file);
        }
      }
    });
  }

  it("records where the model came from", async () => {
    const { output } = newOutput();
    const source = join(GOLDEN, "odd-b");
    const { description } = await quantizeCheckpoint(source, output, { ...FEW, seed: 77 });
    const [from, made] = [inspect(source), inspect(output)];
    assert.equal(description.sourceSha256, from.sha256);
    assert.equal(made.kind === "model" && made.description.weightsSha256, made.sha256);
    assert.equal(made.parameters, from.parameters);
    assert.deepEqual(
      [description.calibration.seed, description.calibration.tokens, description.calibration.source],
      [77, 256, "sampled"],
    );
  });

  it("makes the directories above the output, and reports phases one after another", async () => {
    const output = join(emptyDirectory(), "a", "b", "model");
    const last = new Map<string, [done: number, total: number]>();
    const progress = (phase: string, done: number, total: number) => void last.set(phase, [done, total]);
    await quantizeCheckpoint(join(GOLDEN, "odd-a"), output, { ...FEW, progress });
    assert.ok(existsSync(join(output, "quantization.json")));
    assert.equal([...last.keys()][0], "sampling calibration text");
    assert.ok(last.size > 1);
    for (const [done, total] of last.values()) assert.ok(done > 0 && done <= total);
  });
});

/** Of the logits: the model and its simulation from FP32, and from each other. */
async function distances(checkpoint: string, dir: string, ids: Int32Array) {
  const plain = weightsFromCheckpoint(openCheckpoint(checkpoint));
  const { vocabSize, vocabUsed } = plain.config;
  const header = readModelHeader(dir);
  const hook = activationHook(header.description.activationBits);
  const reference = new Reference(simulatedWeights(plain, modelOnDisk(header)), { sequences: 1 });
  const simulated = columns(reference.forward(ids, hook).logits!, vocabSize, vocabUsed);
  const [exact, model] = [trace(checkpoint, ids).logits, trace(dir, ids).logits];
  return {
    model: distance(model, exact),
    simulation: distance(simulated, exact),
    apart: distance(model, simulated),
  };
}

/** Root mean square of the difference over that of the values. */
function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  let [difference, size] = [0, 0];
  a.forEach((value, i) => {
    difference += (value - b[i]!) ** 2;
    size += b[i]! ** 2;
  });
  return Math.sqrt(difference / size);
}

describe("calibration on a text", () => {
  function prose(text: string | Uint8Array): string {
    const file = join(emptyDirectory(), "prose.txt");
    writeFileSync(file, text);
    return file;
  }

  const REFUSED: [name: string, file: () => string, named: string][] = [
    ["a file that is not there", () => join(emptyDirectory(), "none.txt"), "none.txt"],
    ["an empty text", () => prose(""), "too short"],
    ["a text of a few tokens", () => prose("Once upon a time"), "too short"],
    ["a directory", emptyDirectory, "not a regular file"],
    ["what is no UTF-8", () => prose(new Uint8Array(4096).fill(0xe9)), "UTF-8"],
  ];
  for (const [name, file, named] of REFUSED) {
    it(`${name} is refused`, async () => {
      const { parent, output } = newOutput();
      const calibrationFile = file();
      await assert.rejects(quantizeCheckpoint(TINY, output, { calibrationFile, ...FEW }), isRefusal(named));
      assert.deepEqual(filesBelow(parent), []);
    });
  }

  it("a text is refused where the checkpoint has no tokenizer", async () => {
    const { parent, output } = newOutput();
    const calibrationFile = prose("Once upon a time, there was a text.");
    const act = quantizeCheckpoint(join(GOLDEN, "odd-a"), output, { calibrationFile });
    await expectRejection(act, "badInput", "tokenizer");
    assert.deepEqual(filesBelow(parent), []);
  });
});

/** The package's own error, or one of the file system that names the file: the command line has words for both. */
function isRefusal(named: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof LightMambaError || (error as NodeJS.ErrnoException).path !== undefined, String(error));
    assert.ok(String(error).includes(named), String(error));
    return true;
  };
}

describe("a failure leaves nothing behind", () => {
  /** Checkpoints that turn out to be wrong early, late and at the very end. */
  const BROKEN: [name: string, make: () => string, named: string][] = [
    ["no checkpoint", emptyDirectory, "config.json"],
    ["NaN in the last layer", () => broken("layers.2.mixer.out_proj.weight", Number.NaN), "out_proj"],
    ["infinity in the first layer", () => broken("layers.0.mixer.in_proj.weight", Number.POSITIVE_INFINITY), "in_proj"],
    ["NaN in the final norm", () => broken("norm_f.weight", Number.NaN), "norm_f"],
    ["a tokenizer larger than the vocabulary", withLargeTokenizer, "more token ids"],
    ["a tokenizer that is no JSON", () => withTokenizer("{"), "tokenizer.json"],
  ];

  for (const [name, make, named] of BROKEN) {
    it(name, async () => {
      const { parent, output } = newOutput();
      await expectRejection(quantizeCheckpoint(make(), output, FEW), "badInput", named);
      assert.deepEqual(filesBelow(parent), []);
    });

    it(`${name}, with force: the old directory stays as it was`, async () => {
      const { parent, output } = newOutput();
      mkdirSync(output);
      writeFileSync(join(output, "precious"), "old");
      await expectRejection(quantizeCheckpoint(make(), output, { ...FEW, force: true }), "badInput", named);
      assert.deepEqual(filesBelow(parent), ["model", "model/precious"]);
    });
  }

  function broken(tensor: string, value: number): string {
    const checkpoint = copyOf("odd-a");
    editTensor(checkpoint, tensor, (old, i) => (i === 3 ? value : old));
    return checkpoint;
  }

  function withTokenizer(text: string): string {
    const checkpoint = copyOf("odd-a");
    writeFileSync(join(checkpoint, "tokenizer.json"), text);
    return checkpoint;
  }

  function withLargeTokenizer(): string {
    const checkpoint = copyOf("odd-a");
    copyFileSync(join(TINY, "tokenizer.json"), join(checkpoint, "tokenizer.json"));
    return checkpoint;
  }
});

describe("an existing output", () => {
  const source = join(GOLDEN, "odd-a");

  for (const [name, make] of [
    ["directory", (path: string) => mkdirSync(path)],
    ["file", (path: string) => writeFileSync(path, "")],
  ] as const) {
    it(`that is a ${name} is left alone without force`, async () => {
      const { parent, output } = newOutput();
      make(output);
      await expectRejection(quantizeCheckpoint(source, output, FEW), "usage", "exists");
      assert.deepEqual(filesBelow(parent), ["model"]);
    });
  }

  it("is replaced as a whole with force", async () => {
    const { parent, output } = newOutput();
    mkdirSync(output);
    writeFileSync(join(output, "old"), "");
    await quantizeCheckpoint(source, output, { ...FEW, force: true });
    const made = filesBelow(parent).filter((name) => !name.endsWith("generation_config.json"));
    const files = ["checksums.json", "config.json", "model.safetensors", "quantization.json"].map(
      (name) => `model/${name}`,
    );
    assert.deepEqual(made, ["model", ...files]);
  });

  it("is not the checkpoint itself: its weights would be gone", async () => {
    const checkpoint = copyOf("odd-a");
    await expectRejection(quantizeCheckpoint(checkpoint, checkpoint, { ...FEW, force: true }), "usage");
    assert.equal(inspect(checkpoint).kind, "checkpoint");
  });
});
