/** The GGUF files that bench:peers hands to llama.cpp, read back byte by byte. */

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { GGUF_ALIGNMENT, type GgufValue } from "../../bench/gguf-format.ts";
import { halves, writeMamba2Gguf } from "../../bench/gguf-mamba2.ts";
import { type GgufHeader, readGgufHeader, readGgufTensor } from "../../bench/gguf-reader.ts";
import { encodeHeader, type GgufTensor, writeGguf } from "../../bench/gguf-writer.ts";
import { widen } from "../../host/checkpoint/dtype.ts";
import { type Checkpoint, openCheckpoint } from "../../host/checkpoint/index.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TINY = join(ROOT, "models", "tiny");
const GOLDEN = join(ROOT, "tests", "golden");
const scratch = mkdtempSync(join(tmpdir(), "lightmamba-gguf-"));
after(() => rmSync(scratch, { recursive: true }));

function floats(name: string, ...values: number[]): GgufTensor {
  const data = () => new Uint8Array(Float32Array.from(values).buffer);
  return { name, type: 0, shape: [values.length], data };
}

describe("gguf-writer", () => {
  test("the header, byte by byte", () => {
    const keys = new Map<string, GgufValue>([["a", { type: "u32", value: 7 }]]);
    const header = encodeHeader(keys, [{ name: "t", type: 1, shape: [2, 3], data: () => new Uint8Array(12) }]);
    const expected = [
      ...[0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0],
      ...[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
      ...[1, 0, 0, 0, 0, 0, 0, 0, 0x61, 4, 0, 0, 0, 7, 0, 0, 0],
      ...[1, 0, 0, 0, 0, 0, 0, 0, 0x74, 2, 0, 0, 0],
      // The fastest axis comes first.
      ...[3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
      ...[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert.deepEqual([...header], expected);
  });

  test("every kind of value comes back", () => {
    const path = join(scratch, "values.gguf");
    const keys: [string, GgufValue][] = [
      ["u32", { type: "u32", value: 2 ** 32 - 1 }],
      ["i32", { type: "i32", value: -5 }],
      ["f32", { type: "f32", value: 0.5 }],
      ["bool", { type: "bool", value: true }],
      ["string", { type: "string", value: "Ġé€🙂" }],
      ["strings", { type: "strings", value: ["", "a b", "Ċ"] }],
      ["i32s", { type: "i32s", value: [1, -1, 3] }],
    ];
    writeGguf(path, new Map(keys), [floats("x", 1)]);
    const { keys: found } = readGgufHeader(path);
    assert.deepEqual(
      [...found],
      keys.map(([key, { value }]) => [key, value]),
    );
  });

  test("tensors start on multiples of 32, with zeros between them, and the file ends on one", () => {
    const path = join(scratch, "aligned.gguf");
    writeGguf(path, new Map(), [floats("a", 1, 2, 3), floats("b", ...new Array(9).fill(4)), floats("c", 5)]);
    const bytes = readFileSync(path);
    const { tensors } = readGgufHeader(path);
    let end = tensors[0]!.begin;
    for (const { begin, bytes: size } of tensors) {
      assert.equal(begin % GGUF_ALIGNMENT, 0);
      assert.equal(begin - end < GGUF_ALIGNMENT, true);
      assert.equal(
        bytes.subarray(end, begin).every((byte) => byte === 0),
        true,
      );
      end = begin + size;
    }
    assert.equal(bytes.length, Math.ceil(end / GGUF_ALIGNMENT) * GGUF_ALIGNMENT);
    assert.deepEqual(valuesOf(path, readGgufHeader(path), "c"), Float32Array.of(5));
  });

  test("a tensor of another size than its shape says is refused, and leaves no file", () => {
    const wrong = { ...floats("w", 1, 2), shape: [3] };
    const folder = mkdtempSync(join(scratch, "empty-"));
    assert.throws(() => writeGguf(join(folder, "w.gguf"), new Map(), [wrong]), /w: 8 bytes given, 12 needed/);
    assert.deepEqual(readdirSync(folder), []);
  });

  test("every FP16 number survives the way over FP32", () => {
    const all = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).filter((half) => (half & 0x7c00) !== 0x7c00);
    const values = new Float32Array(all.length);
    widen("F16", new Uint8Array(all.buffer), new Uint32Array(values.buffer));
    assert.deepEqual(halves(values), all);
  });
});

function valuesOf(path: string, { tensors }: GgufHeader, name: string): Float32Array {
  const entry = tensors.find((tensor) => tensor.name === name);
  assert.ok(entry, `no tensor ${name}`);
  const bytes = readGgufTensor(path, entry);
  const type = entry.type;
  assert.ok(type === "F16" || type === "F32");
  const values = new Float32Array(bytes.length / (type === "F16" ? 2 : 4));
  widen(type, bytes, new Uint32Array(values.buffer));
  return values;
}

/** GGUF's names of a layer's tensors, ours, and what llama.cpp wants their shapes to be. */
function layerCases({ dModel, dInner, nHeads, dState, nGroups, convWidth }: Checkpoint["config"]) {
  const channels = dInner + 2 * nGroups * dState;
  return [
    ["attn_norm.weight", "norm", [dModel]],
    ["ssm_in.weight", "in_proj", [dInner + channels + nHeads, dModel]],
    ["ssm_conv1d.weight", "conv", [channels, convWidth]],
    ["ssm_conv1d.bias", "conv_bias", [channels]],
    ["ssm_dt.bias", "dt_bias", [nHeads]],
    ["ssm_d", "D", [nHeads, 1]],
    ["ssm_norm.weight", "gate_norm", [nGroups, dInner / nGroups]],
    ["ssm_out.weight", "out_proj", [dModel, dInner]],
  ] as const;
}

function checkTensors(checkpoint: Checkpoint, path: string): void {
  const header = readGgufHeader(path);
  const { config } = checkpoint;
  const compare = (name: string, ours: string) =>
    assert.deepEqual(valuesOf(path, header, name), checkpoint.read(ours), name);
  compare("token_embd.weight", "embedding");
  compare("output_norm.weight", "final_norm");
  for (let layer = 0; layer < config.nLayers; layer++) {
    for (const [name, ours, shape] of layerCases(config)) {
      compare(`blk.${layer}.${name}`, `layers.${layer}.${ours}`);
      assert.deepEqual(header.tensors.find((tensor) => tensor.name === `blk.${layer}.${name}`)!.shape, shape);
    }
    const logs = checkpoint.read(`layers.${layer}.A_log`);
    const name = `blk.${layer}.ssm_a`;
    assert.deepEqual(
      valuesOf(path, header, name),
      logs.map((value) => -Math.exp(value)),
    );
    assert.deepEqual(header.tensors.find((tensor) => tensor.name === name)!.shape, [config.nHeads, 1]);
  }
  assert.equal(header.tensors.length, 2 + 9 * config.nLayers + (config.tieEmbeddings ? 0 : 1));
}

describe("gguf-mamba2", () => {
  test("models/tiny: every tensor, FP16 where it was FP16 and only in matrices", () => {
    const checkpoint = openCheckpoint(TINY);
    const path = join(scratch, "tiny.gguf");
    writeMamba2Gguf(checkpoint, path);
    checkTensors(checkpoint, path);
    const half = readGgufHeader(path).tensors.filter(({ type }) => type === "F16");
    assert.deepEqual(
      new Set(half.map(({ name }) => name.replace(/^blk\.\d+\./, ""))),
      new Set(["token_embd.weight", "ssm_in.weight", "ssm_out.weight"]),
    );
    checkpoint.close();
  });

  test("models/tiny: the keys", () => {
    const { keys } = readGgufHeader(join(scratch, "tiny.gguf"));
    const expected = {
      "general.architecture": "mamba2",
      "general.file_type": 1,
      "mamba2.embedding_length": 320,
      "mamba2.block_count": 8,
      "mamba2.ssm.conv_kernel": 4,
      "mamba2.ssm.inner_size": 640,
      "mamba2.ssm.state_size": 128,
      "mamba2.ssm.time_step_rank": 10,
      "mamba2.ssm.group_count": 1,
      "mamba2.attention.layer_norm_rms_epsilon": Math.fround(1e-5),
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "gpt-2",
      "tokenizer.ggml.bos_token_id": 0,
      "tokenizer.ggml.eos_token_id": 0,
    };
    for (const [key, value] of Object.entries(expected)) assert.equal(keys.get(key), value, key);
    const list = (key: string) => keys.get(`tokenizer.ggml.${key}`) as unknown[];
    assert.equal(list("tokens").length, 4096);
    assert.deepEqual([list("tokens")[0], list("token_type")[0]], ["<|endoftext|>", 3]);
    assert.deepEqual([list("tokens")[259], list("token_type")[259]], ["Ġa", 1]);
    assert.equal(list("merges")[0], "Ġ t");
  });

  test("two groups, FP32, padded rows, no tokenizer", () => {
    const checkpoint = openCheckpoint(join(GOLDEN, "odd-f-original"));
    const path = join(scratch, "odd.gguf");
    writeMamba2Gguf(checkpoint, path);
    checkTensors(checkpoint, path);
    const { keys } = readGgufHeader(path);
    assert.equal(keys.get("tokenizer.ggml.model"), "no_vocab");
    assert.equal(keys.get("mamba2.vocab_size"), 272);
    checkpoint.close();
  });

  for (const [name, fault] of [
    ["odd-a", /no bias of in_proj and out_proj/],
    ["odd-b", /no limit of the time step/],
  ] as const) {
    test(`${name}: what llama.cpp would leave out is refused`, () => {
      const checkpoint = openCheckpoint(join(GOLDEN, name));
      assert.throws(() => writeMamba2Gguf(checkpoint, join(scratch, `${name}.gguf`)), fault);
      checkpoint.close();
    });
  }
});
