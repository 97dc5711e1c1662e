/** What quantization costs: the embedded model against its checkpoint on the evaluation text. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import { evaluate } from "../../host/evaluate.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { type QuantizeOptions, quantizeCheckpoint } from "../../host/quantize/index.ts";
import { activationHook, modelOnDisk, simulatedWeights } from "../../host/quantize/simulate.ts";
import {
  crossEntropyAndKl,
  type LogitMetrics,
  nextTokens,
  Reference,
  type Vocabulary,
  weightsFromCheckpoint,
} from "../../host/reference/index.ts";
import { Model } from "../../host/runtime/model.ts";
import { expectRejection, GOLDEN, goldenIds, newOutput, TINY, TINY_W4A4 } from "./support.ts";

const ids = goldenIds("eval.safetensors");

/** Logits of every token of the evaluation text. */
function integerLogits(model: Model): Float32Array {
  const session = model.session();
  const out = new Float32Array(ids.length * model.config.vocabSize);
  ids.forEach((id, t) => {
    session.feed(id);
    out.set(model.logits(), t * model.config.vocabSize);
  });
  return out;
}

describe("models/tiny-w4a4 on the evaluation text", () => {
  let [integers, float, simulated]: Float32Array[] = [];
  let vocabulary: Vocabulary;
  const compare = (logits: Float32Array, first = 0, end = ids.length): LogitMetrics => {
    const rows = (values: Float32Array) => values.subarray(first * vocabulary.vocabSize, end * vocabulary.vocabSize);
    return crossEntropyAndKl(rows(logits), rows(float!), nextTokens(ids).subarray(first, end), vocabulary);
  };

  before(() => {
    const model = Model.load(TINY_W4A4);
    const { activationBits } = model.description;
    vocabulary = model.config;
    integers = integerLogits(model);
    const plain = weightsFromCheckpoint(openCheckpoint(TINY));
    float = new Reference(plain, { sequences: 1 }).forward(ids).logits!;
    const hook = activationHook(activationBits);
    const weights = simulatedWeights(plain, modelOnDisk(readModelHeader(TINY_W4A4)));
    simulated = new Reference(weights, { sequences: 1 }).forward(ids, hook).logits!;
  });

  it("the checkpoint's own perplexity is 47.3", () => {
    assert.ok(Math.abs(compare(float!).perplexity - 47.3) <= 0.1);
    assert.ok(compare(float!).kl < 1e-9);
  });

  it("KL is at most 0.0170 nats a token, and the likeliest token the same in 5 of 6 places", () => {
    const { kl, perplexity, top1Agreement, tokens } = compare(integers!);
    assert.equal(tokens, 1023);
    assert.ok(kl <= 0.017, `KL ${kl}`);
    assert.ok(perplexity < 47.3 * 1.03, `perplexity ${perplexity}`);
    assert.ok(top1Agreement > 5 / 6, `top-1 ${top1Agreement}`);
  });

  it("integers cost next to nothing: the float simulation of the same codes is within 5 %", () => {
    const [exact, model] = [compare(simulated!), compare(integers!)];
    assert.ok(Math.abs(model.kl / exact.kl - 1) < 0.05, `KL ${model.kl} and ${exact.kl}`);
    assert.ok(Math.abs(model.perplexity / exact.perplexity - 1) < 0.02);
  });

  it("the error does not grow with the text: each quarter's KL is within 35 % of the mean", () => {
    const mean = compare(integers!).kl;
    for (let quarter = 0; quarter < 4; quarter++) {
      const { kl } = compare(integers!, quarter * 256, (quarter + 1) * 256);
      assert.ok(Math.abs(kl / mean - 1) <= 0.35, `quarter ${quarter}: ${kl}, mean ${mean}`);
    }
  });

  it("evaluate says the same of the first 100 tokens, counting them as they come", async () => {
    const steps: number[] = [];
    const progress = (done: number, total: number) => steps.push(done, total);
    const options = { reference: TINY, simulate: true, progress };
    const found = await evaluate(Model.load(TINY_W4A4), ids.subarray(0, 100), options);
    const [model, exact] = [compare(integers!, 0, 99), compare(simulated!, 0, 99)];
    const close = (a: number, b: number) => assert.ok(Math.abs(a / b - 1) < 1e-5, `${a} and ${b}`);
    assert.equal(found.tokens, 99);
    close(found.perplexity, model.perplexity);
    close(found.reference!.kl, model.kl);
    close(found.reference!.referencePerplexity, model.referencePerplexity);
    close(found.simulation!.kl, exact.kl);
    assert.deepEqual(steps, [100, 100]);
  });
});

describe("evaluate refuses", () => {
  const model = Model.load(TINY_W4A4);
  const CASES: [name: string, ids: number[], reference: string | undefined, named: string][] = [
    ["no tokens", [], undefined, "nothing to predict"],
    ["one token", [5], undefined, "at least 2"],
    ["a token beyond the vocabulary", [1, 4096], undefined, "input_ids[1]"],
    ["a negative token", [1, -1], undefined, "input_ids[1]"],
    ["another model's checkpoint", [1, 2], join(GOLDEN, "odd-a"), "not the checkpoint of this model"],
    ["a directory that is none", [1, 2], GOLDEN, "golden"],
  ];
  for (const [name, wrong, reference, named] of CASES) {
    it(name, async () => {
      const act = evaluate(model, Int32Array.from(wrong), { ...(reference && { reference }) });
      await expectRejection(act, "badInput", named);
    });
  }
});

describe("models/tiny-w4a4", () => {
  it("is what quantize makes of models/tiny, byte for byte", async () => {
    const { description } = readModelHeader(TINY_W4A4);
    assert.equal(description.calibration.source, "sampled");
    const { output } = newOutput();
    const options: QuantizeOptions = {
      seed: description.calibration.seed,
      calibrationTokens: description.calibration.tokens,
      activationBits: description.activationBits,
      weights: description.weights,
    };
    const { description: made, notes, dir, bytes } = await quantizeCheckpoint(TINY, output, options);
    assert.deepEqual(readdirSync(output).sort(), readdirSync(TINY_W4A4).sort());
    for (const name of readdirSync(TINY_W4A4)) {
      assert.ok(readFileSync(join(output, name)).equals(readFileSync(join(TINY_W4A4, name))), `${name} differs`);
    }
    assert.equal(made.weightsSha256, description.weightsSha256);
    assert.deepEqual([notes, dir], [[], output]);
    assert.equal(bytes, readFileSync(join(output, "model.safetensors")).length);
  });
});
