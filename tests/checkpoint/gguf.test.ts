/** Checkpoints through GGUF and back: equal tensors, an equal configuration, an equal tokenizer. */

import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { decode } from "../../host/checkpoint/dequantize.ts";
import { ggmlTypeNamed } from "../../host/checkpoint/ggml-types.ts";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import type { Checkpoint } from "../../host/checkpoint/types.ts";
import { quantizeCheckpoint } from "../../host/quantize/index.ts";
import { loadTokenizer } from "../../host/tokenizer/index.ts";
import { randomOf } from "../fuzz/random.ts";
import { dequantizeSlowly, halfBits } from "./ggml-blocks.ts";
import { type Encode, ggufOf, TENSOR_TYPES, tokenizerKeys, value, writeGguf } from "./gguf-writer.ts";
import { emptyDirectory, expectError, GOLDEN, syntheticCheckpoint, TINY } from "./support.ts";

const ODD = join(GOLDEN, "odd-a");

const asF16: Encode = (values) => new Uint8Array(Uint16Array.from(values, halfBits).buffer);
const asBf16: Encode = (values) =>
  new Uint8Array(new Uint16Array(values.buffer.slice(0)).filter((_, i) => i % 2 === 1).buffer);

/** Rows of whole blocks of 256. */
const WIDE = { hidden_size: 256, expand: 2, head_dim: 64, num_heads: 8, vocab_size: 33 };

/** Blocks of random bytes; only their scales are kept small, so that nothing overflows. */
function randomBlocks(type: string, seed: number): Encode {
  const [, elements, bytes] = TENSOR_TYPES[type]!;
  return (values) => {
    const pick = randomOf(seed);
    const data = Uint8Array.from({ length: (values.length / elements) * bytes }, () => pick(256));
    const halves: Record<string, number[]> = { Q4_1: [0, 2], Q5_1: [0, 2], Q4_K: [0, 2], Q5_K: [0, 2], Q6_K: [208] };
    for (let block = 0; block < data.length; block += bytes) {
      for (const at of halves[type] ?? [0]) data[block + at + 1]! &= 0x9f;
    }
    return data;
  };
}

function withCheckpoint<T>(path: string, use: (checkpoint: Checkpoint) => T): T {
  const checkpoint = openCheckpoint(path);
  try {
    return use(checkpoint);
  } finally {
    checkpoint.close();
  }
}

/** assert.deepEqual takes seconds for an embedding. */
function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bytes = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return bytes(a).equals(bytes(b));
}

/** All but A_log, which passes through an exponential and a logarithm, is the same to the bit. */
function assertSame(got: Checkpoint, want: Checkpoint, expected = (name: string) => want.read(name)): void {
  assert.deepEqual([...got.tensors.keys()], [...want.tensors.keys()]);
  for (const name of want.tensors.keys()) {
    const values = got.read(name);
    assert.deepEqual(got.tensors.get(name)!.shape, want.tensors.get(name)!.shape);
    const near = (x: number, i: number) => Math.abs(x - values[i]!) < 1e-6 * Math.max(1, Math.abs(x));
    if (name.endsWith("A_log")) assert.ok(want.read(name).every(near), name);
    else assert.ok(sameBits(values, expected(name)), name);
  }
  assert.deepEqual({ ...got.config, format: "huggingface" }, want.config);
}

describe("GGUF: the same checkpoint", () => {
  test("odd-a in FP32: tensors and configuration", () => {
    const path = writeGguf(join(emptyDirectory(), "a.gguf"), ggufOf(ODD));
    withCheckpoint(path, (got) => withCheckpoint(ODD, (want) => assertSame(got, want)));
  });

  test("version 2, another alignment, a directory in place of the file", () => {
    const directory = emptyDirectory();
    const gguf = { ...ggufOf(ODD), version: 2, alignment: 256 };
    gguf.metadata.set("general.alignment", value.u32(256));
    writeGguf(join(directory, "a.gguf"), gguf);
    withCheckpoint(directory, (got) => {
      assert.equal(got.path, directory);
      withCheckpoint(ODD, (want) => assertSame(got, want));
    });
  });

  test("models/tiny in FP16, as it is", () => {
    const path = writeGguf(join(emptyDirectory(), "a.gguf"), ggufOf(TINY, "F16", asF16));
    withCheckpoint(path, (got) => {
      withCheckpoint(TINY, (want) => assertSame(got, want));
      assert.equal(got.tensors.get("embedding")!.dtype, "F16");
      assert.equal(got.tensors.get("embedding")!.stored, undefined);
    });
  });

  test("BF16 is the upper half", () => {
    const path = writeGguf(join(emptyDirectory(), "a.gguf"), ggufOf(ODD, "BF16", asBf16));
    const cut = (values: Float32Array) =>
      new Float32Array(new Uint32Array(values.buffer).map((bits) => bits & 0xffff0000).buffer);
    withCheckpoint(path, (got) =>
      withCheckpoint(ODD, (want) => {
        for (const name of ["embedding", "layers.2.out_proj"]) assert.deepEqual(got.read(name), cut(want.read(name)));
      }),
    );
  });

  test("an untied head, no biases", () => {
    const gguf = ggufOf(ODD);
    for (const name of [...gguf.tensors.keys()])
      if (/ssm_(in|out)\.bias|conv1d\.bias/.test(name)) gguf.tensors.delete(name);
    gguf.tensors.set("output.weight", gguf.tensors.get("token_embd.weight")!);
    withCheckpoint(writeGguf(join(emptyDirectory(), "a.gguf"), gguf), ({ config, tensors }) => {
      assert.deepEqual([config.useBias, config.useConvBias, config.tieEmbeddings], [false, false, false]);
      assert.ok(tensors.has("lm_head") && !tensors.has("layers.0.in_proj_bias"));
    });
  });

  test("the same bytes have the same hash, others another", () => {
    const [first, second] = [emptyDirectory(), emptyDirectory()].map((path) => join(path, "a.gguf")) as [
      string,
      string,
    ];
    writeGguf(first, ggufOf(ODD));
    writeGguf(second, ggufOf(ODD));
    const hash = (path: string) => withCheckpoint(path, (checkpoint) => checkpoint.hash());
    assert.equal(hash(first), hash(second));
    const bytes = readFileSync(second);
    bytes[bytes.length - 100]! ^= 1;
    writeFileSync(second, bytes);
    assert.notEqual(hash(first), hash(second));
  });
});

test("GGUF: quantized, it is the same model", async () => {
  const root = emptyDirectory();
  const options = { calibrationTokens: 64, weights: { method: "rtn" }, rotation: "off" } as const;
  await quantizeCheckpoint(writeGguf(join(root, "a.gguf"), ggufOf(ODD)), join(root, "a"), options);
  await quantizeCheckpoint(ODD, join(root, "b"), options);
  const weights = (name: string) => readFileSync(join(root, name, "model.safetensors"));
  assert.ok(weights("a").equals(weights("b")));
});

describe("GGUF: block types, against a dequantizer of its own", () => {
  for (const type of Object.keys(TENSOR_TYPES).filter((name) => name.startsWith("Q"))) {
    test(`${type}: random blocks`, () => {
      const [, elements] = TENSOR_TYPES[type]!;
      const data = randomBlocks(type, 7)(new Float32Array(elements * 400));
      const got = new Float32Array(elements * 400);
      decode(ggmlTypeNamed(type)!, data, got);
      assert.deepEqual(got, dequantizeSlowly(type, data));
    });

    test(`${type}: in a checkpoint`, () => {
      const encode = randomBlocks(type, 11);
      const source = TENSOR_TYPES[type]![1] === 256 ? syntheticCheckpoint(WIDE, "F32") : ODD;
      const path = writeGguf(join(emptyDirectory(), "a.gguf"), ggufOf(source, type, encode));
      withCheckpoint(path, (got) =>
        withCheckpoint(source, (want) => {
          const expected = (name: string) =>
            got.tensors.get(name)!.stored ? dequantizeSlowly(type, encode(want.read(name))) : want.read(name);
          const stored = [...got.tensors.values()].filter((tensor) => tensor.stored?.type === type);
          assert.ok(stored.length > 0, "no tensor has the type");
          assertSame(got, want, expected);
        }),
      );
    });
  }
});

describe("GGUF: the tokenizer", () => {
  const cases = JSON.parse(readFileSync(join(GOLDEN, "tokenizer-cases.json"), "utf8")) as {
    text: string;
    ids: number[];
  }[];
  const withTokenizer = (pre: string, edit: (metadata: Map<string, Buffer>) => void = () => {}) => {
    const gguf = ggufOf(ODD);
    const metadata = new Map([...gguf.metadata, ...tokenizerKeys(TINY, pre)]);
    metadata.set("mamba2.vocab_size", value.u32(4096));
    gguf.tensors.set("token_embd.weight", { type: 0, dims: [48, 4096], data: new Uint8Array(48 * 4096 * 4) });
    edit(metadata);
    return writeGguf(join(emptyDirectory(), "a.gguf"), { ...gguf, metadata });
  };

  test("gives the golden ids", () => {
    const directory = emptyDirectory();
    withCheckpoint(withTokenizer("mpt"), (checkpoint) => {
      for (const [name, bytes] of checkpoint.tokenizerFiles!()!) writeFileSync(join(directory, name), bytes);
      assert.equal(checkpoint.config.vocabUsed, 4096);
    });
    const tokenizer = loadTokenizer(directory);
    for (const { text, ids } of cases) assert.deepEqual(tokenizer.encode(text), ids);
    assert.deepEqual([tokenizer.size, tokenizer.bosTokenId, tokenizer.eosTokenIds], [4096, 0, [0]]);
  });

  test("padding tokens are rows, not tokens", () => {
    const path = withTokenizer("mpt", (metadata) => {
      const json = JSON.parse(readFileSync(join(TINY, "tokenizer.json"), "utf8"));
      const tokens = Object.keys(json.model.vocab).sort((a, b) => json.model.vocab[a] - json.model.vocab[b]);
      for (const id of [4094, 4095]) tokens[id] = `[PAD${id}]`;
      metadata.set("tokenizer.ggml.tokens", value.strings(tokens));
      metadata.set("tokenizer.ggml.token_type", value.u32s(tokens.map((_, id) => (id >= 4094 ? 5 : 1))));
      metadata.set("tokenizer.ggml.merges", value.strings([]));
    });
    withCheckpoint(path, (checkpoint) => {
      assert.equal(checkpoint.config.vocabUsed, 4094);
      const json = JSON.parse(new TextDecoder().decode(checkpoint.tokenizerFiles!()!.get("tokenizer.json")));
      assert.equal(Object.keys(json.model.vocab).length, 4094);
    });
  });

  test("beside the file comes first", () => {
    const path = withTokenizer("llama-bpe");
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) cpSync(join(TINY, name), join(dirname(path), name));
    withCheckpoint(path, (checkpoint) => {
      const files = checkpoint.tokenizerFiles!()!;
      assert.deepEqual([...files.keys()], ["tokenizer.json", "tokenizer_config.json"]);
      assert.ok(readFileSync(join(TINY, "tokenizer.json")).equals(files.get("tokenizer.json")!));
    });
  });

  test("is absent, or of a kind that is not supported", () => {
    withCheckpoint(writeGguf(join(emptyDirectory(), "a.gguf"), ggufOf(ODD)), (checkpoint) =>
      assert.equal(checkpoint.tokenizerFiles!(), undefined),
    );
    const refused = (path: string, ...parts: string[]) =>
      withCheckpoint(path, (checkpoint) => expectError(() => checkpoint.tokenizerFiles!(), "unsupported", ...parts));
    refused(withTokenizer("llama-bpe"), "tokenizer.ggml.pre", '"llama-bpe"');
    refused(
      withTokenizer("mpt", (keys) => keys.set("tokenizer.ggml.model", value.string("llama"))),
      "tokenizer.ggml.model",
    );
    refused(
      withTokenizer("mpt", (keys) => keys.set("tokenizer.ggml.add_bos_token", value.bool(1))),
      "add_bos_token",
    );
  });

  test("is faulty", () => {
    const faulty = (edit: (keys: Map<string, Buffer>) => unknown, ...parts: string[]) =>
      withCheckpoint(withTokenizer("mpt", edit), (checkpoint) =>
        expectError(() => checkpoint.tokenizerFiles!(), "badInput", ...parts),
      );
    faulty((keys) => keys.set("tokenizer.ggml.merges", value.strings(["a b", "ab"])), "merges[1]", "not a pair");
    faulty((keys) => keys.set("tokenizer.ggml.merges", value.u32s([1])), "merges", "a list of texts");
    faulty(
      (keys) => keys.set("tokenizer.ggml.tokens", value.strings(Array.from({ length: 4096 }, (_, i) => `t${i >> 1}`))),
      "tokens[1]",
      "listed twice",
    );
  });
});
