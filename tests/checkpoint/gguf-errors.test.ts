/** Every way a GGUF file can be wrong, and what the user is told: each row breaks a good file. */

import { statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import type { ExitName } from "../../host/errors.ts";
import { f32, type Gguf, ggufOf, text, u32, u64, V, value, writeGguf } from "./gguf-writer.ts";
import { copyOf, editBytes, emptyDirectory, expectError, GOLDEN } from "./support.ts";

function load(path: string): void {
  const checkpoint = openCheckpoint(path);
  try {
    for (const name of checkpoint.tensors.keys()) checkpoint.read(name);
  } finally {
    checkpoint.close();
  }
}

const ODD = join(GOLDEN, "odd-a");
const fresh = () => writeGguf(join(emptyDirectory(), "model.gguf"), ggufOf(ODD));

type Row = [what: string, exit: ExitName, edit: (gguf: Gguf) => unknown, ...parts: string[]];

const set = (key: string, bytes: Uint8Array) => (gguf: Gguf) => gguf.metadata.set(key, Buffer.from(bytes));
const drop = (key: string) => (gguf: Gguf) => gguf.metadata.delete(key);
const tensor = (name: string, change: object) => (gguf: Gguf) => Object.assign(gguf.tensors.get(name)!, change);
const array = (type: number, length: number | bigint, ...items: Uint8Array[]) =>
  Buffer.concat([u32(V.array), u32(type), u64(length), ...items]);

const HEAD: Row[] = [
  ["another magic", "badInput", (g) => (g.magic = "GGML"), "not a GGUF file"],
  ["version 1", "unsupported", (g) => (g.version = 1), "version", "expected 2 or 3", "found 1"],
  ["version 4", "unsupported", (g) => (g.version = 4), "found 4"],
  ["big endian", "unsupported", (g) => (g.version = 0x03000000), "big-endian"],
  ["absurdly many tensors", "badInput", (g) => (g.tensorCount = 2 ** 40), "tensor count", "absurdly large"],
  [
    "a count no double holds",
    "badInput",
    (g) => (g.tensorCount = 2n ** 64n - 1n),
    "tensor count",
    "18446744073709551615",
  ],
  ["absurdly many keys", "badInput", (g) => (g.keyCount = 2 ** 33), "metadata count", "absurdly large"],
  ["more keys than there are", "badInput", (g) => (g.keyCount = 60_000), "model.gguf"],
  ["more tensors than there are", "badInput", (g) => (g.tensorCount = 60_000), "name of tensor 35", "an empty name"],
  ["fewer tensors than there are", "badInput", (g) => (g.tensorCount = 3), "the tensor is missing"],
];

const METADATA: Row[] = [
  ["an unknown type of value", "badInput", set("x", u32(13)), "x: unknown type of value", "found 13"],
  [
    "a text longer than the file",
    "badInput",
    set("mamba2.x", Buffer.concat([u32(8), u64(2 ** 25)])),
    "mamba2.x",
    "ends in the middle",
  ],
  [
    "a text too long for anything",
    "badInput",
    set("mamba2.x", Buffer.concat([u32(8), u64(2 ** 40)])),
    "the text is too long",
  ],
  [
    "a text passed over, longer than the file",
    "badInput",
    set("x", Buffer.concat([u32(8), u64(2 ** 40)])),
    "x: the file ends",
  ],
  [
    "a text that is not UTF-8",
    "badInput",
    set("mamba2.x", Buffer.concat([u32(8), u64(1), Buffer.from([255])])),
    "not valid UTF-8",
  ],
  ["a list longer than the file", "badInput", set("mamba2.x", array(V.u32, 2 ** 30)), "ends in the middle"],
  ["a list passed over, longer than the file", "badInput", set("x", array(V.u8, 2 ** 50)), "ends in the middle"],
  [
    "a list where one number is expected",
    "badInput",
    set("mamba2.block_count", value.u32s([3])),
    "block_count",
    "found []",
  ],
  [
    "a list of tokens too long",
    "badInput",
    (g) => g.metadata.set("tokenizer.ggml.token_type", array(V.u8, 2 ** 24 + 1, new Uint8Array(2 ** 24 + 1))),
    "the list is too long",
  ],
  [
    "tokens that are lists",
    "badInput",
    set("tokenizer.ggml.tokens", array(V.array, 1, u32(V.u32), u64(0))),
    "at least one token",
  ],
  ["a list of unknown items", "badInput", set("x", array(77, 1)), "unknown type of value", "77"],
  [
    "lists without end in one another",
    "badInput",
    set("mamba2.x", Buffer.concat([u32(V.array), ...Array.from({ length: 9 }, () => [u32(V.array), u64(1)]).flat()])),
    "too deep",
  ],
  ["a boolean of 2", "badInput", set("mamba2.x", value.bool(2)), "mamba2.x: wrong value", "0 or 1"],
  ["alignment 0", "badInput", set("general.alignment", value.u32(0)), "general.alignment", "a power of two from 8"],
  ["alignment 48", "badInput", set("general.alignment", value.u32(48)), "general.alignment", "found 48"],
  ["alignment of 1 GiB", "badInput", set("general.alignment", value.u32(2 ** 30)), "general.alignment"],
  [
    "an alignment the tensors do not have",
    "badInput",
    set("general.alignment", value.u32(4096)),
    "wrong offset",
    "4096",
  ],
  ["an alignment that is a text", "badInput", set("general.alignment", value.string("32")), "general.alignment"],
];

const CONFIG: Row[] = [
  ["no architecture", "badInput", drop("general.architecture"), "general.architecture", '"mamba2"', "found nothing"],
  ["Mamba-1", "unsupported", set("general.architecture", value.string("mamba")), '"mamba" is a Mamba-1 model'],
  ["Jamba", "unsupported", set("general.architecture", value.string("jamba")), "a hybrid of Mamba and attention"],
  ["Falcon-H1", "unsupported", set("general.architecture", value.string("falcon-h1")), "a hybrid of Mamba"],
  ["Llama", "unsupported", set("general.architecture", value.string("llama")), '"llama" is not a Mamba-2 model'],
  [
    "a part of a model",
    "unsupported",
    set("split.count", Buffer.concat([u32(V.u16), Buffer.from([3, 0])])),
    "split.count",
    "found 3",
  ],
  ...[
    "embedding_length",
    "block_count",
    "ssm.inner_size",
    "ssm.time_step_rank",
    "ssm.state_size",
    "ssm.group_count",
  ].map((key): Row => [`no ${key}`, "badInput", drop(`mamba2.${key}`), `mamba2.${key}`]),
  ["no epsilon", "badInput", drop("mamba2.attention.layer_norm_rms_epsilon"), "epsilon: the field is missing"],
  ["no vocabulary at all", "badInput", drop("mamba2.vocab_size"), "mamba2.vocab_size: the field is missing"],
  ["a negative epsilon", "badInput", set("mamba2.attention.layer_norm_rms_epsilon", value.f32(-1)), "a number above 0"],
  [
    "an epsilon that is no number",
    "badInput",
    set("mamba2.attention.layer_norm_rms_epsilon", value.f32(Number.NaN)),
    "NaN",
  ],
  ["a size as a text", "badInput", set("mamba2.embedding_length", value.string("48")), "mamba2.embedding_length"],
  ["a size of 0", "badInput", set("mamba2.embedding_length", value.u32(0)), "mamba2.embedding_length", "found 0"],
  ["no heads", "badInput", set("mamba2.ssm.time_step_rank", value.u32(0)), "mamba2.ssm.time_step_rank"],
  [
    "heads that do not divide",
    "badInput",
    set("mamba2.ssm.time_step_rank", value.u32(7)),
    "a divisor of the inner size 96",
  ],
  ["groups that do not divide", "badInput", set("mamba2.ssm.group_count", value.u32(4)), "mamba2.ssm.group_count"],
  ["a factor beyond all", "badInput", set("mamba2.ssm.inner_size", value.u32(6 * 2 ** 12)), "inner_size", "found 512"],
  ["a convolution of 8", "unsupported", set("mamba2.ssm.conv_kernel", value.u32(8)), "conv_kernel", "2 to 4 taps"],
  ["a token that is none", "badInput", set("tokenizer.ggml.eos_token_id", value.u32(259)), "eos_token_id", "0 to 258"],
  [
    "more tokens than rows",
    "badInput",
    set("tokenizer.ggml.tokens", value.strings(Array.from({ length: 300 }, String))),
    "at least the 300 tokens",
  ],
  ["no tokens", "badInput", set("tokenizer.ggml.tokens", value.strings([])), "at least one token"],
  ["tokens that are numbers", "badInput", set("tokenizer.ggml.tokens", value.u32s([1])), "a list of texts"],
  [
    "token types of another number",
    "badInput",
    (g) =>
      g.metadata
        .set("tokenizer.ggml.tokens", value.strings(["a", "b"]))
        .set("tokenizer.ggml.token_type", value.u32s([1])),
    "token_type",
    "2 numbers from 1 to 6",
  ],
];

const TENSORS: Row[] = [
  [
    "a name too long",
    "badInput",
    (g) => g.tensors.set("n".repeat(64), g.tensors.get("output_norm.weight")!),
    "at most 63 bytes",
  ],
  [
    "no dimensions",
    "badInput",
    tensor("output_norm.weight", { dims: [] }),
    "output_norm.weight",
    "dimensions",
    "found 0",
  ],
  ["five dimensions", "badInput", tensor("output_norm.weight", { dims: [48, 1, 1, 1, 1] }), "found 5"],
  ["a dimension of 0", "badInput", tensor("output_norm.weight", { dims: [0] }), "wrong shape"],
  ["a product no double holds", "badInput", tensor("output_norm.weight", { dims: [2 ** 40, 2 ** 40] }), "wrong shape"],
  [
    "another shape",
    "badInput",
    tensor("blk.0.ssm_in.weight", { dims: [326, 48] }),
    "ssm_in.weight: wrong shape",
    "found [48, 326]",
  ],
  ["a type without a name", "badInput", tensor("output_norm.weight", { type: 999 }), "unknown type of tensor", "999"],
  ["Q2_K", "unsupported", tensor("output_norm.weight", { type: 10 }), "tensors of this type", "found Q2_K"],
  ["I32", "unsupported", tensor("output_norm.weight", { type: 26 }), "found I32"],
  ["rows of half a block", "badInput", tensor("output_norm.weight", { type: 8 }), "whole Q8_0 blocks of 32"],
  ["an offset between the multiples", "badInput", tensor("output_norm.weight", { offset: 33 }), "a multiple of 32"],
  ["an overlap", "badInput", tensor("blk.0.attn_norm.weight", { offset: 0 }), "overlaps"],
  ["a hole", "badInput", tensor("output_norm.weight", { offset: 2 ** 30 }), "a hole before the tensor"],
  ["a missing tensor", "badInput", (g) => g.tensors.delete("blk.1.ssm_d"), "blk.1.ssm_d: the tensor is missing"],
  [
    "a tensor too many",
    "badInput",
    (g) => g.tensors.set("blk.3.ssm_d", g.tensors.get("blk.2.ssm_d")!),
    "blk.3.ssm_d: the configuration has no such tensor",
  ],
  [
    "A above 0",
    "badInput",
    tensor("blk.0.ssm_a", { data: Buffer.concat(Array.from({ length: 6 }, () => f32(0.5))) }),
    "ssm_a[0]",
    "below 0",
  ],
  ["A of 0", "badInput", tensor("blk.0.ssm_a", { data: new Uint8Array(24) }), "ssm_a[0]", "below 0"],
  [
    "not finite",
    "badInput",
    tensor("output_norm.weight", { data: new Uint8Array(192).fill(255) }),
    "output_norm.weight[0]",
    "not finite",
  ],
];

for (const [name, rows] of Object.entries({ HEAD, METADATA, CONFIG, TENSORS })) {
  describe(`GGUF, ${name.toLowerCase()}`, () => {
    for (const [what, exit, edit, ...parts] of rows) {
      test(what, () => {
        const gguf = ggufOf(ODD);
        edit(gguf);
        const path = writeGguf(join(emptyDirectory(), "model.gguf"), gguf);
        expectError(() => load(path), exit, ...parts);
      });
    }
  });
}

describe("GGUF, the file", () => {
  test("cut at any of many places", () => {
    const path = fresh();
    const bytes = ggufOf(ODD);
    const { size } = statSync(path);
    for (let at = 0; at < size; at += Math.max(1, Math.floor(at / 40))) {
      writeGguf(path, bytes);
      truncateSync(path, at);
      expectError(() => load(path), "badInput", "model.gguf");
    }
  });

  test("a key twice, a tensor twice", () => {
    const renamed = (from: string, to: string, ...parts: string[]) => {
      const path = fresh();
      editBytes(path, (bytes) => {
        const at = bytes.indexOf(text(from));
        return Buffer.concat([bytes.subarray(0, at), text(to), bytes.subarray(at + text(to).length)]);
      });
      expectError(() => load(path), "badInput", ...parts);
    };
    renamed("blk.1.ssm_d", "blk.0.ssm_d", "blk.0.ssm_d: the tensor is listed twice");
    renamed("mamba2.ssm.inner_size", "mamba2.ssm.state_size", "mamba2.ssm.state_size: the key is given twice");
  });

  test("several in a directory; none; another kind of file", () => {
    const several = emptyDirectory();
    for (const name of ["a.gguf", "b.gguf"]) writeGguf(join(several, name), ggufOf(ODD));
    expectError(() => load(several), "badInput", "several GGUF files", "found 2");
    expectError(() => load(emptyDirectory()), "badInput", "config.json");
    expectError(() => load(join(ODD, "config.json")), "badInput", "not a directory", ".gguf");
    const empty = join(emptyDirectory(), "a.gguf");
    writeFileSync(empty, "");
    expectError(() => load(empty), "badInput", "not a GGUF file");
    expectError(() => load(join(several, "c.gguf")), "badInput", "no such file");
  });

  test("beside a config.json it is not looked at", () => {
    const path = copyOf("odd-a");
    writeFileSync(join(path, "model.gguf"), "nonsense");
    load(path);
  });
});
