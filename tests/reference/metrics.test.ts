import assert from "node:assert/strict";
import { test } from "node:test";
import {
  crossEntropyAndKl,
  LogitComparison,
  NO_TARGET,
  nextTokens,
  Reference,
  sampleText,
} from "../../host/reference/index.ts";
import { Arena, Offline } from "../../host/reference/offline.ts";
import { uniforms } from "../../host/reference/random.ts";
import { loadWeights, noise } from "./support.ts";

const close = (a: number, b: number) =>
  assert.ok(Math.abs(a - b) < 1e-9 * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

test("cross entropy, KL and agreement follow their definitions and leave padding and untargeted rows out", () => {
  const vocabulary = { vocabSize: 8, vocabUsed: 6 };
  const rows = 4;
  const logits = noise(rows * 8, 1).map((v) => 5 * v);
  const reference = noise(rows * 8, 2).map((v) => 5 * v);
  // Padding columns would win if they counted.
  for (let r = 0; r < rows; r++) logits[r * 8 + 6] = 1000;
  const targets = Int32Array.of(3, NO_TARGET, 0, 5);

  const softmax = (values: Float32Array, row: number) => {
    const exps = [...values.subarray(row * 8, row * 8 + 6)].map(Math.exp);
    const sum = exps.reduce((a, b) => a + b);
    return exps.map((v) => v / sum);
  };
  let [loss, referenceLoss, kl, agreed] = [0, 0, 0, 0];
  for (const row of [0, 2, 3]) {
    const [p, q] = [softmax(logits, row), softmax(reference, row)];
    loss -= Math.log(p[targets[row]!]!) / 3;
    referenceLoss -= Math.log(q[targets[row]!]!) / 3;
    kl += q.reduce((sum, value, i) => sum + value * Math.log(value / p[i]!), 0) / 3;
    if (p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q))) agreed++;
  }

  const found = crossEntropyAndKl(logits, reference, targets, vocabulary);
  assert.equal(found.tokens, 3);
  close(found.crossEntropy, loss);
  close(found.perplexity, Math.exp(loss));
  close(found.referencePerplexity, Math.exp(referenceLoss));
  close(found.kl, kl);
  close(found.top1Agreement, agreed / 3);

  const pieces = new LogitComparison(vocabulary);
  pieces.add(logits.subarray(0, 16), reference.subarray(0, 16), targets.subarray(0, 2));
  pieces.add(logits.subarray(16), reference.subarray(16), targets.subarray(2));
  assert.deepEqual(pieces.result(), found);
});

test("a model does not diverge from itself, and logits too large for exp are no trouble", () => {
  const logits = Float32Array.of(1e4, -1e4, 0, 1e4);
  const found = crossEntropyAndKl(logits, logits, Int32Array.of(0), { vocabSize: 4, vocabUsed: 4 });
  assert.equal(found.kl, 0);
  close(found.crossEntropy, Math.log(2));
});

test("the target of a token is the next one of its own sequence", () => {
  assert.deepEqual([...nextTokens(Int32Array.of(1, 2, 3, 4, 5, 6), 2)], [2, 3, NO_TARGET, 5, 6, NO_TARGET]);
});

test("sampleRow draws each token as often as softmax says", () => {
  const offline = new Offline();
  const row = new Arena(offline.start).floats(3);
  offline.floats(row, 3).set([0, Math.log(2), Math.log(5)]);
  const draw = uniforms(7, 0);
  const counts = [0, 0, 0];
  for (let i = 0; i < 8000; i++) counts[offline.kernels.sampleRow(row, 3, draw())]!++;
  [1000, 2000, 5000].forEach((expected, i) => {
    assert.ok(Math.abs(counts[i]! - expected) < 150, `${counts}`);
  });
  assert.equal(offline.kernels.sampleRow(row, 3, 1), 2);
});

test("sampled text depends on the seed alone, not on how many sequences run side by side", () => {
  const weights = loadWeights("tests/golden/odd-f-original");
  const options = { sequences: 5, tokens: 12, seed: 3, bos: 0 };
  const one = sampleText(new Reference(weights, { sequences: 1 }), options);
  assert.equal(one.length, 60);
  for (let s = 0; s < 5; s++) assert.equal(one[s * 12], 0);
  assert.ok(one.every((id) => id < weights.config.vocabUsed));
  assert.notDeepEqual(one.subarray(0, 12), one.subarray(12, 24));

  const steps: number[] = [];
  const three = new Reference(weights, { sequences: 3 });
  assert.deepEqual(sampleText(three, { ...options, progress: (done) => steps.push(done) }), one);
  // The first token of each is given.
  assert.equal(steps.at(-1), 55);
  assert.notDeepEqual(sampleText(three, { ...options, seed: 4 }), one);
});

test("text sampled from models/tiny is the same on every machine", () => {
  const reference = new Reference(loadWeights("models/tiny"), { sequences: 2 });
  const text = sampleText(reference, { sequences: 2, tokens: 8, seed: 1, bos: 0 });
  assert.deepEqual([...text], [0, 2830, 12, 884, 311, 263, 902, 744, 0, 18, 18, 440, 41, 52, 52, 3633]);
});
