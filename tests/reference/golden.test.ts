import assert from "node:assert/strict";
import { test } from "node:test";
import { generateGreedy, nextTokens, perplexity, Reference, tokenLogprobs } from "../../host/reference/index.ts";
import { columns, loadWeights, readGolden, relativeError } from "./support.ts";

// transformers computes in FP32 too, but sums in another order: about 1e-6 apart.
const BOUND = 1e-5;

const MODELS = [
  { model: "models/tiny", golden: "tests/golden/tiny", what: "F16 weights, tied embeddings" },
  { model: "tests/golden/odd-a", golden: "tests/golden/odd-a", what: "two groups, projection biases" },
  { model: "tests/golden/odd-b", golden: "tests/golden/odd-b", what: "BF16 shards, own lm_head, clamped time step" },
  {
    model: "tests/golden/odd-f-original",
    golden: "tests/golden/odd-f-original",
    what: "state-spaces, padded vocabulary",
  },
];

for (const { model, golden, what } of MODELS) {
  test(`${model} (${what}): logits and hidden states are those of transformers`, () => {
    const expected = readGolden(`${golden}/expected.safetensors`);
    const weights = loadWeights(model);
    const reference = new Reference(weights, { sequences: 1 });
    const ids = expected.ids("input_ids");
    const { logits, hidden } = reference.forward(ids, { hidden: true });

    const goldenLogits = expected.floats("logits");
    // The golden file has the columns that are tokens; a padded checkpoint has more.
    const width = goldenLogits.length / ids.length;
    assert.equal(width, weights.config.vocabUsed);
    const used = columns(logits!, weights.config.vocabSize, width);
    assert.ok(relativeError(used, goldenLogits) <= BOUND, `logits ${relativeError(used, goldenLogits)}`);

    const goldenHidden = expected.floats("hidden_states");
    const size = ids.length * weights.config.dModel;
    for (let i = 0; i <= weights.config.nLayers; i++) {
      const part = [i * size, (i + 1) * size] as const;
      const error = relativeError(hidden!.subarray(...part), goldenHidden.subarray(...part));
      assert.ok(error <= BOUND, `hidden state ${i}: ${error}`);
    }
  });

  test(`${model}: greedy tokens are those of transformers`, () => {
    const expected = readGolden(`${golden}/expected.safetensors`);
    const ids = expected.ids("greedy_ids");
    const prompt = Number(/first (\d+)/.exec(expected.metadata.greedy!)![1]);
    const reference = new Reference(loadWeights(model), { sequences: 1 });
    assert.deepEqual(generateGreedy(reference, ids.subarray(0, prompt), ids.length - prompt), ids);
  });
}

test("models/tiny has the perplexity that transformers finds on the evaluation text", () => {
  const expected = readGolden("tests/golden/eval.safetensors");
  const weights = loadWeights("models/tiny");
  const ids = expected.ids("input_ids");
  const { logits } = new Reference(weights, { sequences: 1 }).forward(ids);
  const logprobs = tokenLogprobs(logits!, nextTokens(ids), weights.config);

  const golden = expected.floats("token_logprob");
  assert.equal(logprobs.length, golden.length);
  const worst = logprobs.reduce((most, value, i) => Math.max(most, Math.abs(value - golden[i]!)), 0);
  assert.ok(worst < 1e-4, `log-probability off by ${worst}`);
  assert.ok(Math.abs(perplexity(logprobs) - 47.344) < 0.01, `perplexity ${perplexity(logprobs)}`);
});
