/** Whole checkpoints of both forms open, and hold what other programs say they hold. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Checkpoint, openCheckpoint } from "../../host/checkpoint/index.ts";
import {
  copyOf,
  editBytes,
  editJson,
  editSafetensors,
  GOLDEN,
  type Json,
  syntheticCheckpoint,
  TINY,
} from "./support.ts";

/** SHA-256 over all values as FP32, in the model's order, computed with Python's pickle, zipfile and struct. */
const CASES = [
  {
    name: "odd-a",
    about: "two groups, biases everywhere, a head size of 16, FP32",
    path: join(GOLDEN, "odd-a"),
    tensors: 2 + 3 * 11,
    values: "d8fb2da9416fb637cbb63cae908a90e6424e4aec27722bed637d43f43935b556",
    config: {
      format: "huggingface",
      ...{ dModel: 48, nLayers: 3, dInner: 96, nHeads: 6, headDim: 16, dState: 32, nGroups: 2, convWidth: 4 },
      ...{
        vocabSize: 259,
        vocabUsed: 259,
        normEps: 1e-5,
        timeStepLimit: [0, Infinity],
        useBias: true,
        useConvBias: true,
      },
      ...{ tieEmbeddings: true, bosTokenId: 0, eosTokenIds: [0] },
    },
  },
  {
    name: "odd-b",
    about: "ten shards, an own head, no biases, expand 3, a limited time step, BF16",
    path: join(GOLDEN, "odd-b"),
    tensors: 3 + 4 * 8,
    values: "3e9160f1beef2d8226637ce1db8eb7081faa18d9b567f2eaa1f771e92fb73b5a",
    config: {
      format: "huggingface",
      ...{ dModel: 64, nLayers: 4, dInner: 192, nHeads: 6, headDim: 32, dState: 16, nGroups: 1, convWidth: 4 },
      ...{ vocabSize: 320, vocabUsed: 320, normEps: 1e-5, timeStepLimit: [0.001, 0.1], useBias: false },
      ...{ useConvBias: false, tieEmbeddings: false, bosTokenId: 0, eosTokenIds: [0] },
    },
  },
  {
    name: "odd-f-original",
    about: "the state-spaces form in a PyTorch file, its vocabulary padded from 259 to 272",
    path: join(GOLDEN, "odd-f-original"),
    tensors: 2 + 3 * 9,
    values: "a427180f63e7d68a6ae278b4e250c8897a8a5d9d18c9a2bf07a5c769da16769a",
    config: {
      format: "state-spaces",
      ...{ dModel: 48, nLayers: 3, dInner: 96, nHeads: 6, headDim: 16, dState: 32, nGroups: 2, convWidth: 4 },
      ...{ vocabSize: 272, vocabUsed: 259, normEps: 1e-5, timeStepLimit: [0, Infinity], useBias: false },
      ...{ useConvBias: true, tieEmbeddings: true, bosTokenId: undefined, eosTokenIds: [] },
    },
  },
  {
    name: "tiny",
    about: "the trained example model, FP16",
    path: TINY,
    tensors: 2 + 8 * 9,
    values: "74ac1f96e4a54519de289dd0c9668ae70d738513b7d520eb9fcd3e081eb1f187",
    config: {
      format: "huggingface",
      ...{ dModel: 320, nLayers: 8, dInner: 640, nHeads: 10, headDim: 64, dState: 128, nGroups: 1, convWidth: 4 },
      ...{ vocabSize: 4096, vocabUsed: 4096, normEps: 1e-5, timeStepLimit: [0, Infinity], useBias: false },
      ...{ useConvBias: true, tieEmbeddings: true, bosTokenId: 0, eosTokenIds: [0] },
    },
  },
];

function using<T>(path: string, act: (checkpoint: Checkpoint) => T): T {
  const checkpoint = openCheckpoint(path);
  try {
    return act(checkpoint);
  } finally {
    checkpoint.close();
  }
}

function digestOfValues(checkpoint: Checkpoint): string {
  const hash = createHash("sha256");
  for (const name of checkpoint.tensors.keys()) hash.update(new Uint8Array(checkpoint.read(name).buffer));
  return hash.digest("hex");
}

for (const { name, about, path, tensors, values, config } of CASES) {
  describe(`${name}: ${about}`, () => {
    test("the configuration", () => using(path, (checkpoint) => assert.deepEqual(checkpoint.config, config)));
    test("the number of tensors", () => using(path, ({ tensors: found }) => assert.equal(found.size, tensors)));
    test("every value, widened to FP32", () =>
      using(path, (checkpoint) => assert.equal(digestOfValues(checkpoint), values)));
  });
}

test("names and shapes, in the model's order, whatever the file's order and names", () => {
  const layer = (i: number, names: string[]) => names.map((name) => `layers.${i}.${name}`);
  const names = ["norm", "in_proj", "conv", "conv_bias", "A_log", "D", "dt_bias", "gate_norm", "out_proj"];
  using(join(GOLDEN, "odd-f-original"), ({ tensors }) => {
    const expected = ["embedding", ...[0, 1, 2].flatMap((i) => layer(i, names)), "final_norm"];
    assert.deepEqual([...tensors.keys()], expected);
    assert.deepEqual(tensors.get("layers.1.in_proj")!.shape, [2 * 96 + 2 * 2 * 32 + 6, 48]);
    assert.deepEqual(tensors.get("layers.1.conv")!.shape, [96 + 2 * 2 * 32, 4]);
    assert.equal(tensors.get("layers.1.conv")!.sourceName, "backbone.layers.1.mixer.conv1d.weight");
    assert.equal(tensors.get("embedding")!.sourceName, "backbone.embedding.weight");
  });
});

test("single values of the PyTorch file, as Python reads them", () => {
  using(join(GOLDEN, "odd-f-original"), (checkpoint) => {
    const logA = [2.7197885513305664, 2.6428136825561523, 0.8607003092765808, 2.656090021133423, 1.2079962491989136];
    assert.deepEqual([...checkpoint.read("layers.1.A_log")].slice(0, 5), logA);
    const taps = [0.22978663444519043, -0.28259190917015076, -0.3002494275569916, -0.2670893669128418];
    assert.deepEqual([...checkpoint.read("layers.0.conv")].slice(0, 4), taps);
    const embedding = checkpoint.read("embedding");
    assert.equal(embedding[258 * 48], 0.2891892194747925, "the last row of a token");
    assert.ok(
      embedding.subarray(259 * 48).every((value) => value === 0),
      "padding",
    );
  });
});

describe("what a configuration may leave out or write in its own way", () => {
  /** odd-a with an edited configuration still opens, as this. */
  const variants: [string, (config: Json) => unknown, object][] = [
    ["a missing epsilon", (c) => delete c.layer_norm_epsilon, { normEps: 1e-5 }],
    ["a missing expand", (c) => delete c.expand, { dInner: 96 }],
    ["no limit of the time step", (c) => delete c.time_step_limit, { timeStepLimit: [0, Infinity] }],
    ["null for a default", (c) => (c.conv_kernel = null), { convWidth: 4 }],
    ["no beginning", (c) => (c.bos_token_id = null), { bosTokenId: 0 }],
    ["several ends, overridden by generation_config.json", (c) => (c.eos_token_id = [1, 2]), { eosTokenIds: [0] }],
    ["an expand that was rounded", (c) => (c.expand = 2.0000000001), { dInner: 96 }],
  ];
  for (const [name, edit, expected] of variants) {
    test(name, () => {
      const path = copyOf("odd-a");
      editJson(join(path, "config.json"), edit);
      using(path, ({ config }) => assert.deepEqual({ ...config, ...expected }, config));
    });
  }

  test("bare Infinity, as json.dump writes it", () => {
    const path = copyOf("odd-b");
    const inPython = (json: string) => json.replace('"INF"', "Infinity").replace('"NAN"', "[NaN, -Infinity]");
    editJson(join(path, "config.json"), (c) => Object.assign(c, { time_step_limit: [0.5, "INF"], note: "NAN" }));
    editBytes(join(path, "config.json"), (bytes) => Buffer.from(inPython(bytes.toString())));
    using(path, ({ config }) => assert.deepEqual(config.timeStepLimit, [0.5, Infinity]));
  });

  test("generation_config.json gives the original form its end token", () => {
    const path = copyOf("odd-f-original");
    writeFileSync(join(path, "generation_config.json"), '{"eos_token_id": [3, 4, 3], "bos_token_id": 2}');
    using(path, ({ config }) => assert.deepEqual([config.bosTokenId, config.eosTokenIds], [2, [3, 4]]));
  });
});

test("a tied head that is saved all the same is left aside", () => {
  const path = copyOf("odd-a");
  editSafetensors(join(path, "model.safetensors"), (header, data) => {
    const { shape } = header["backbone.embeddings.weight"];
    const size = shape[0] * shape[1] * 4;
    header["lm_head.weight"] = { dtype: "F32", shape, data_offsets: [data.length, data.length + size] };
    return Buffer.concat([data, Buffer.alloc(size)]);
  });
  using(path, (checkpoint) => {
    assert.ok(!checkpoint.tensors.has("lm_head"));
    assert.equal(digestOfValues(checkpoint), CASES[0]!.values);
  });
});

test("a fractional expand, one group per head and a convolution of 2", () => {
  const path = syntheticCheckpoint({
    hidden_size: 20,
    expand: 1.6,
    head_dim: 8,
    num_heads: 4,
    n_groups: 4,
    conv_kernel: 2,
  });
  using(path, ({ config, tensors }) => {
    assert.deepEqual([config.dInner, config.nHeads, config.convWidth], [32, 4, 2]);
    assert.deepEqual(tensors.get("layers.0.in_proj")!.shape, [2 * 32 + 2 * 4 * 4 + 4, 20]);
  });
});

describe("the hash", () => {
  const hashOf = (path: string) => using(path, (checkpoint) => checkpoint.hash());
  test("is the same for a copy elsewhere", () => assert.equal(hashOf(copyOf("odd-b")), hashOf(join(GOLDEN, "odd-b"))));
  test("differs after one bit of a weight", () => {
    const path = copyOf("odd-a");
    editSafetensors(join(path, "model.safetensors"), (_, data) => {
      data[4000]! ^= 1;
    });
    assert.notEqual(hashOf(path), hashOf(join(GOLDEN, "odd-a")));
  });
  test("differs with the configuration", () => {
    const path = copyOf("odd-a");
    editJson(join(path, "config.json"), (config) => (config.layer_norm_epsilon = 1e-6));
    assert.notEqual(hashOf(path), hashOf(join(GOLDEN, "odd-a")));
  });
});

test("after close nothing can be read", () => {
  const checkpoint = openCheckpoint(join(GOLDEN, "odd-a"));
  checkpoint.close();
  checkpoint.close();
  assert.throws(() => checkpoint.read("embedding"), /closed/);
});
