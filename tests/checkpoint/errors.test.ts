/** Every way a checkpoint can be wrong, and what the user is told: each row breaks a copy of a good checkpoint. */

import { copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import type { ExitName } from "../../host/errors.ts";
import {
  copyOf,
  editBytes,
  editJson,
  editSafetensors,
  emptyDirectory,
  expectError,
  GOLDEN,
  type Json,
} from "./support.ts";

/** Opens and reads everything. */
function load(path: string): void {
  const checkpoint = openCheckpoint(path);
  try {
    for (const name of checkpoint.tensors.keys()) checkpoint.read(name);
  } finally {
    checkpoint.close();
  }
}

type Row = [what: string, exit: ExitName, edit: (target: Json) => unknown, ...parts: string[]];

function table(golden: string, rows: Row[], apply: (path: string, edit: Row[2]) => void): void {
  for (const [what, exit, edit, ...parts] of rows) {
    test(what, () => {
      const path = copyOf(golden);
      apply(path, edit);
      expectError(() => load(path), exit, ...parts);
    });
  }
}

describe("config.json, Hugging Face form", () => {
  const rows: Row[] = [
    [
      "Mamba-1",
      "unsupported",
      (c) => (c.model_type = "mamba"),
      '"mamba" is a Mamba-1 model',
      "expected a pure Mamba-2",
    ],
    ["Falcon Mamba", "unsupported", (c) => (c.model_type = "falcon_mamba"), '"falcon_mamba" is a Mamba-1 model'],
    ...["jamba", "zamba", "zamba2", "bamba", "falcon_h1", "granitemoehybrid", "nemotron_h"].map(
      (type): Row => [
        type,
        "unsupported",
        (c) => (c.model_type = type),
        `"${type}" is a hybrid of Mamba and attention`,
      ],
    ),
    ...["llama", "gpt2", "qwen3", "toString"].map(
      (type): Row => [type, "unsupported", (c) => (c.model_type = type), `"${type}" is not a Mamba-2 model`],
    ),
    [
      "only an architecture",
      "unsupported",
      (c) => {
        c.architectures = ["LlamaForCausalLM"];
        delete c.model_type;
      },
      "LlamaForCausalLM",
    ],
    [
      "no model type at all",
      "badInput",
      (c) => {
        delete c.architectures;
        delete c.model_type;
      },
      "config.json: model_type: the field is missing",
    ],
    [
      "a model type that is a number",
      "badInput",
      (c) => (c.model_type = 2),
      "model_type",
      "expected a string",
      "found 2",
    ],
    ["a quantized checkpoint", "unsupported", (c) => (c.quantization_config = { bits: 4 }), "quantization_config"],
    ["another activation", "unsupported", (c) => (c.hidden_act = "gelu"), "hidden_act", "expected silu", '"gelu"'],
    ["a convolution of 5", "unsupported", (c) => (c.conv_kernel = 5), "conv_kernel", "2 to 4 taps", "found 5"],
    ["a convolution of 1", "unsupported", (c) => (c.conv_kernel = 1), "conv_kernel", "found 1"],
    [
      "a size that is text",
      "badInput",
      (c) => (c.hidden_size = "48"),
      "config.json: hidden_size: wrong value",
      'found "48"',
    ],
    ["a size of zero", "badInput", (c) => (c.state_size = 0), "state_size", "an integer from 1 to"],
    ["a negative size", "badInput", (c) => (c.head_dim = -16), "head_dim", "found -16"],
    ["a size with a fraction", "badInput", (c) => (c.num_hidden_layers = 3.5), "num_hidden_layers", "found 3.5"],
    ["absurdly many layers", "badInput", (c) => (c.num_hidden_layers = 1e9), "num_hidden_layers", "1 to 4096"],
    ["an absurd vocabulary", "badInput", (c) => (c.vocab_size = 1e300), "vocab_size", "1 to 16777216"],
    [
      "a tensor beyond all memory",
      "badInput",
      (c) => Object.assign(c, { vocab_size: 2 ** 24, hidden_size: 2 ** 16, expand: 1 }),
      "tensors of at most",
    ],
    ["an expand of zero", "badInput", (c) => (c.expand = 0), "expand", "above 0"],
    ["an absurd expand", "badInput", (c) => (c.expand = 1e9), "expand", "at most 64"],
    ["an expand that makes no integer", "badInput", (c) => (c.expand = 2.01), "expand", "48 * 2.01"],
    [
      "heads that do not divide the width",
      "badInput",
      (c) => (c.head_dim = 36),
      "head_dim",
      "divisor of the inner size 96",
    ],
    [
      "groups that do not divide the heads",
      "badInput",
      (c) => (c.n_groups = 4),
      "n_groups",
      "number of heads 6",
      "found 4",
    ],
    ["another number of heads", "badInput", (c) => (c.num_heads = 7), "num_heads", "= 6", "found 7"],
    ["a bias that is a number", "badInput", (c) => (c.use_bias = 1), "use_bias", "true or false"],
    ["an epsilon of zero", "badInput", (c) => (c.layer_norm_epsilon = 0), "layer_norm_epsilon", "found 0"],
    ["a time step limit of one number", "badInput", (c) => (c.time_step_limit = [0]), "time_step_limit", "found [0]"],
    ["a time step limit the wrong way round", "badInput", (c) => (c.time_step_limit = [1, 0.5]), "0 <= low <= high"],
    [
      "a time step limit that is not a number",
      "badInput",
      (c) => (c.time_step_limit = [0, { __float__: "NaN" }]),
      "time_step_limit",
    ],
    ["an end token outside the vocabulary", "badInput", (c) => (c.eos_token_id = [0, 259]), "eos_token_id", "0 to 258"],
    ["a beginning token that is text", "badInput", (c) => (c.bos_token_id = "<s>"), "bos_token_id", '"<s>"'],
  ];
  table("odd-a", rows, (path, edit) => editJson(join(path, "config.json"), edit));
});

describe("config.json, original form", () => {
  const rows: Row[] = [
    ["no layer kind: Mamba-1", "unsupported", (c) => delete c.ssm_cfg.layer, "ssm_cfg.layer", '"Mamba1"'],
    ["no ssm_cfg: Mamba-1", "unsupported", (c) => delete c.ssm_cfg, "ssm_cfg.layer", '"Mamba1"'],
    ["Mamba-3", "unsupported", (c) => (c.ssm_cfg.layer = "Mamba3"), '"Mamba3"', 'expected "Mamba2"'],
    ["attention layers", "unsupported", (c) => (c.attn_layer_idx = [1]), "attn_layer_idx", "hybrid"],
    ["MLP layers", "unsupported", (c) => (c.d_intermediate = 128), "d_intermediate", "found 128"],
    ["LayerNorm", "unsupported", (c) => (c.rms_norm = false), "rms_norm", "found false"],
    ["no gated norm", "unsupported", (c) => (c.ssm_cfg.rmsnorm = false), "ssm_cfg.rmsnorm"],
    ["a norm before the gate", "unsupported", (c) => (c.ssm_cfg.norm_before_gate = true), "norm_before_gate"],
    ["a D for every channel", "unsupported", (c) => (c.ssm_cfg.D_has_hdim = true), "ssm_cfg.D_has_hdim"],
    ["an SSM on part of the width", "unsupported", (c) => (c.ssm_cfg.d_ssm = 48), "ssm_cfg.d_ssm", "expected 96"],
    ["an ssm_cfg that is a list", "badInput", (c) => (c.ssm_cfg = []), "ssm_cfg", "an object"],
    ["no width", "badInput", (c) => delete c.d_model, "d_model: the field is missing"],
    ["no vocabulary", "badInput", (c) => delete c.vocab_size, "vocab_size: the field is missing"],
    ["a padding of zero", "badInput", (c) => (c.pad_vocab_size_multiple = 0), "pad_vocab_size_multiple"],
    [
      "another padding than the weights'",
      "badInput",
      (c) => (c.pad_vocab_size_multiple = 8),
      "backbone.embedding.weight",
      "[264, 48]",
    ],
  ];
  table("odd-f-original", rows, (path, edit) => editJson(join(path, "config.json"), edit));
});

describe("tensors that do not fit the configuration", () => {
  const name = "backbone.layers.1.mixer.A_log";
  const rename = (header: Json, from: string, to: string) => {
    header[to] = header[from];
    delete header[from];
  };
  const rows: Row[] = [
    ["a missing tensor", "badInput", (h) => rename(h, name, "other"), `${name}: the tensor is missing`],
    [
      "a tensor too many",
      "badInput",
      (h) => (h.other = { dtype: "F32", shape: [0], data_offsets: [0, 0] }),
      "other: the configuration has no such tensor",
    ],
    [
      "a wrong shape",
      "badInput",
      (h) => (h[name].shape = [3, 2]),
      `${name}: wrong shape`,
      "expected [6]",
      "found [3, 2]",
    ],
    [
      "a convolution without its middle axis",
      "badInput",
      (h) => (h["backbone.layers.0.mixer.conv1d.weight"].shape = [224, 4]),
      "[224, 1, 4]",
    ],
    ["a wrong dtype", "badInput", (h) => (h[name].dtype = "I32"), `${name}: wrong dtype`, "F32, F16 or BF16"],
  ];
  table("odd-a", rows, (path, edit) => editSafetensors(join(path, "model.safetensors"), edit));

  test("biases the configuration does not speak of", () => {
    const path = copyOf("odd-a");
    editJson(join(path, "config.json"), (config) => (config.use_bias = false));
    expectError(() => load(path), "badInput", "in_proj.bias: the configuration has no such tensor");
  });
  test("a head the configuration says is not tied", () => {
    const path = copyOf("odd-a");
    editJson(join(path, "config.json"), (config) => (config.tie_word_embeddings = false));
    expectError(() => load(path), "badInput", "lm_head.weight: the tensor is missing");
  });

  for (const value of [Number.NaN, Infinity, -Infinity]) {
    test(`${value} among the weights`, () => {
      const path = copyOf("odd-a");
      editSafetensors(join(path, "model.safetensors"), (header, data) => {
        data.writeFloatLE(value, header[name].data_offsets[0] + 4 * 5);
      });
      expectError(() => load(path), "badInput", `${name}[5]`, "not finite", `found ${value}`);
    });
  }
});

describe("files and directories", () => {
  const model = (path: string) => join(path, "model.safetensors");
  const config = (path: string) => join(path, "config.json");
  const rows: Row[] = [
    ["no config.json", "badInput", (path) => rmSync(config(path)), "config.json: the file is missing"],
    [
      "a config.json that is a directory",
      "badInput",
      (path) => {
        rmSync(config(path));
        mkdirSync(config(path));
      },
      "config.json: not a regular file",
    ],
    [
      "a dangling link",
      "badInput",
      (path) => {
        rmSync(config(path));
        symlinkSync("nowhere", config(path));
      },
      "config.json: cannot be read: no such file",
    ],
    [
      "a link to itself",
      "badInput",
      (path) => {
        rmSync(config(path));
        symlinkSync("config.json", config(path));
      },
      "a loop of symbolic links",
    ],
    [
      "an empty config.json",
      "badInput",
      (path) => writeFileSync(config(path), ""),
      "line 1, column 1",
      "found the end",
    ],
    [
      "a JSON error",
      "badInput",
      (path) => writeFileSync(config(path), '{\n "a": 1,\n "b" 2}'),
      "line 3, column 6",
      'expected ":"',
    ],
    [
      "a field given twice",
      "badInput",
      (path) => writeFileSync(config(path), '{"a": 1, "a": 2}'),
      "a: the name is given twice",
    ],
    [
      "a number that JSON does not have",
      "badInput",
      (path) => writeFileSync(config(path), '{"a": 01}'),
      "not valid JSON",
    ],
    ["a bad escape", "badInput", (path) => writeFileSync(config(path), '{"a": "\\x"}'), "expected a string"],
    [
      "a list for a config.json",
      "badInput",
      (path) => writeFileSync(config(path), "[1]"),
      "not a JSON object",
      "found [1]",
    ],
    ["bytes that are not text", "badInput", (path) => writeFileSync(config(path), Buffer.from([0x7b, 0xff])), "UTF-8"],
    [
      "a broken generation_config.json",
      "badInput",
      (path) => writeFileSync(join(path, "generation_config.json"), "{"),
      "generation_config.json",
    ],
    [
      "no weights",
      "badInput",
      (path) => rmSync(model(path)),
      "no weights found",
      "model.safetensors.index.json or pytorch_model.bin",
    ],
    [
      "truncated weights",
      "badInput",
      (path) => truncateSync(model(path), 100_000),
      "model.safetensors",
      "cut short",
      "316288 bytes",
    ],
    ["a truncated header", "badInput", (path) => truncateSync(model(path), 1000), "header length", "found 3416"],
    [
      "weights with a tail",
      "badInput",
      (path) => editBytes(model(path), (b) => Buffer.concat([b, Buffer.alloc(1)])),
      "bytes after",
    ],
  ];
  table("odd-a", rows, (path, edit) => edit(path));

  test("a path that is not there", () => {
    expectError(
      () => load(join(emptyDirectory(), "none")),
      "badInput",
      "none: cannot be read: no such file or directory",
    );
  });
  test("a file in place of a directory", () => {
    expectError(() => load(join(GOLDEN, "odd-a/config.json")), "badInput", "config.json: not a directory");
  });
  test("weights cut short while they are open", () => {
    const path = copyOf("odd-a");
    const checkpoint = openCheckpoint(path);
    truncateSync(model(path), 200_000);
    expectError(() => checkpoint.read("final_norm"), "badInput", "the file ends too early");
    expectError(() => checkpoint.hash(), "badInput", "the file ends too early");
    expectError(() => checkpoint.read("lm_head"), "badInput", "lm_head: no such tensor");
    checkpoint.close();
  });
});

describe("shards", () => {
  const shard = (i: number) => `model-${String(i).padStart(5, "0")}-of-00010.safetensors`;
  const embedding = "backbone.embeddings.weight";
  const editMap = (edit: (map: Json) => unknown) => (path: string) =>
    editJson(join(path, "model.safetensors.index.json"), (index) => edit(index.weight_map));
  const rows: Row[] = [
    ["a missing shard", "badInput", (path) => rmSync(join(path, shard(3))), shard(3), "no such file"],
    ["a shard for another", "badInput", (path) => renameSync(join(path, shard(3)), join(path, shard(4))), shard(3)],
    ["a truncated shard", "badInput", (path) => truncateSync(join(path, shard(2)), 600), shard(2), "cut short"],
    [
      "no weight_map",
      "badInput",
      (path) => writeFileSync(join(path, "model.safetensors.index.json"), "{}"),
      "weight_map",
    ],
    [
      "a shard that is a number",
      "badInput",
      editMap((map) => (map[embedding] = 1)),
      "weight_map.backbone.embeddings.weight",
      "found 1",
    ],
    [
      "a shard above the directory",
      "badInput",
      editMap((map) => (map[embedding] = "../x.safetensors")),
      "a file name in this directory",
    ],
    ["an absolute shard", "badInput", editMap((map) => (map[embedding] = "/etc/passwd")), '"/etc/passwd"'],
    ["a shard by a Windows path", "badInput", editMap((map) => (map[embedding] = "..\\x")), "wrong shard"],
    ["the directory itself", "badInput", editMap((map) => (map[embedding] = "..")), "wrong shard"],
    ["a name with a NUL", "badInput", editMap((map) => (map[embedding] = "a\0b")), "wrong shard"],
    [
      "a tensor in the wrong shard",
      "badInput",
      editMap((map) => (map[embedding] = shard(2))),
      shard(2),
      "the shard does not have",
    ],
    [
      "a tensor the shards do not have",
      "badInput",
      editMap((map) => (map.other = shard(1))),
      "other",
      "the shard does not have",
    ],
    [
      "a tensor the index does not list",
      "badInput",
      editMap((map) => delete map[embedding]),
      embedding,
      "not in the index",
    ],
    [
      "the same tensor in two shards",
      "badInput",
      (path) => copyFileSync(join(path, shard(1)), join(path, shard(2))),
      "the tensor is in two shards",
    ],
    [
      "a thousand shards",
      "badInput",
      editMap((map) => {
        for (let i = 0; i < 1000; i++) map[`t${i}`] = `s${i}`;
      }),
      "too many shards",
    ],
  ];
  table("odd-b", rows, (path, edit) => edit(path));
});
