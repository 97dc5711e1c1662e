/** What is fuzzed: for each parser, how an input is made from a number, and how it is read. */

import {
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readChecksums } from "../../host/checkpoint/checksums.ts";
import { readConfig } from "../../host/checkpoint/config.ts";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import { parseJson } from "../../host/checkpoint/json.ts";
import { unpickleStateDict } from "../../host/checkpoint/pickle.ts";
import { SafetensorsFile } from "../../host/checkpoint/safetensors.ts";
import { openTorchWeights } from "../../host/checkpoint/torch.ts";
import { closeWeights } from "../../host/checkpoint/weights.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { loadTokenizer } from "../../host/tokenizer/index.ts";
import { readPublicKeys } from "../../host/update/keys.ts";
import { parseBundleManifest } from "../../host/update/manifest.ts";
import { openBundle } from "../../host/update/read.ts";
import { gguf, mutatedGguf } from "./gguf.ts";
import { mutate, mutatedJson, type Pick } from "./random.ts";
import { smallBundle, smallCheckpointFiles, smallTokenizer, smallTorchFile } from "./seeds.ts";

export interface Target {
  rounds: number;
  /** An input that is right: reading it must end well. */
  valid: Uint8Array;
  make(pick: Pick): Uint8Array;
  read(bytes: Uint8Array): void;
}

const ROOT = join(import.meta.dirname, "../..");
const file = (path: string) => readFileSync(join(ROOT, path));
const json = (path: string) => JSON.parse(file(path).toString());

let scratch: string | undefined;
let directories = 0;

/** Removes what the targets wrote. */
export function cleanUp(): void {
  if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
}

/** Reads an input as the file `name` of a directory that has these others. */
function inDirectory(name: string, others: Record<string, Uint8Array>, read: (dir: string, path: string) => void) {
  scratch ??= mkdtempSync(join(tmpdir(), "lightmamba-fuzz-"));
  const dir = join(scratch, String(directories++));
  mkdirSync(dir);
  for (const [other, bytes] of Object.entries(others)) writeFileSync(join(dir, other), bytes);
  return (bytes: Uint8Array) => {
    rewrite(join(dir, name), bytes);
    read(dir, join(dir, name));
  };
}

/** Not by way of an empty file: some file systems wait for the disk then, which takes a hundred times as long. */
function rewrite(path: string, bytes: Uint8Array): void {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT);
  writeSync(descriptor, bytes, 0, bytes.length, 0);
  ftruncateSync(descriptor, bytes.length);
  closeSync(descriptor);
}

const byteTarget = (rounds: number, valid: Uint8Array, read: Target["read"], near = valid.length): Target => ({
  rounds,
  valid,
  make: (pick) => mutate(valid, pick, pick(10) === 0 ? valid.length : near),
  read,
});

const jsonTarget = (rounds: number, value: Parameters<typeof mutatedJson>[0], read: Target["read"]): Target => ({
  rounds,
  valid: Buffer.from(JSON.stringify(value)),
  make: (pick) => mutatedJson(value, pick),
  read,
});

/** A header with its length before it, and so many bytes of zeros behind. */
function safetensors(header: Uint8Array, data: number): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(data)]);
}

const HEADER = {
  __metadata__: { format: "pt" },
  a: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
  b: { dtype: "BF16", shape: [4], data_offsets: [24, 32] },
  c: { dtype: "U8", shape: [], data_offsets: [32, 33] },
};

/** The header of a real file; its numbers are a hole in the file, so that writing it costs nothing. */
function realHeader(rounds: number, path: string): Target {
  const whole = file(path);
  const header = whole.subarray(0, 8 + Number(whole.readBigUInt64LE(0)));
  const data = whole.length - header.length;
  const read = inDirectory("x.safetensors", {}, (_, target) => {
    truncateSync(target, statSync(target).size + data);
    SafetensorsFile.open(target).close();
  });
  return { rounds, valid: header, make: (pick) => mutate(header, pick), read };
}

const openSafetensors = inDirectory("x.safetensors", {}, (_, path) => SafetensorsFile.open(path).close());
const openTorch = inDirectory("x.bin", {}, (_, path) => closeWeights(openTorchWeights(path)));

function readAll(path: string): void {
  const checkpoint = openCheckpoint(path);
  try {
    for (const name of checkpoint.tensors.keys()) checkpoint.read(name);
    checkpoint.tokenizerFiles?.();
  } finally {
    checkpoint.close();
  }
}

function useTokenizer(dir: string): void {
  const tokenizer = loadTokenizer(dir);
  tokenizer.decode(tokenizer.encode("Once  upon\n a time, <|end|>é 12345\u{1f600}"));
}

const pickle = file("tests/golden/odd-f-original/pytorch_model.bin").subarray(64, 64 + 2779);
const tokenizerConfig = file("models/tiny/tokenizer_config.json");
const model = (name: string) => file(`models/tiny-w4a4/${name}`);

export const TARGETS: Record<string, () => Target> = {
  "safetensors, bytes": () => byteTarget(14_000, safetensors(Buffer.from(JSON.stringify(HEADER)), 33), openSafetensors),
  "safetensors, header": () => ({
    ...jsonTarget(12_000, HEADER, openSafetensors),
    valid: safetensors(Buffer.from(JSON.stringify(HEADER)), 33),
    make: (pick) => safetensors(mutatedJson(HEADER, pick), 33),
  }),
  "safetensors, a real header": () => realHeader(2_000, "tests/golden/odd-a/model.safetensors"),
  "pickle, small": () => byteTarget(20_000, smallTorchFile().pickle, (bytes) => unpickleStateDict(bytes, "x")),
  "pickle, real": () => byteTarget(4_000, pickle, (bytes) => unpickleStateDict(bytes, "x")),
  "PyTorch file": () => byteTarget(8_000, smallTorchFile().archive, openTorch),
  "GGUF, bytes": () => {
    const { bytes, head } = gguf();
    return byteTarget(
      10_000,
      bytes,
      inDirectory("x.gguf", {}, (_, path) => readAll(path)),
      head,
    );
  },
  "GGUF, structure": () => {
    const read = inDirectory("x.gguf", {}, (_, path) => readAll(path));
    return { rounds: 8_000, valid: gguf().bytes, make: mutatedGguf, read };
  },
  "JSON text": () => {
    const text = Buffer.from('{"a": [1, -2.5e3, Infinity, null, true], "b": {"c": "x\\n\\u00e9", "d": {}}}');
    return byteTarget(12_000, text, (bytes) => parseJson(Buffer.from(bytes).toString("latin1"), "x"));
  },
  "config.json, Hugging Face": () =>
    jsonTarget(
      8_000,
      json("models/tiny/config.json"),
      inDirectory("config.json", {}, (dir) => readConfig(dir)),
    ),
  "config.json, original": () =>
    jsonTarget(
      6_000,
      json("tests/golden/odd-f-original/config.json"),
      inDirectory("config.json", {}, (dir) => readConfig(dir)),
    ),
  "generation_config.json": () => {
    const others = { "config.json": file("models/tiny/config.json") };
    const read = inDirectory("generation_config.json", others, (dir) => readConfig(dir));
    return jsonTarget(3_000, json("models/tiny/generation_config.json"), read);
  },
  "config.json with its weights": () => {
    const { config, weights } = smallCheckpointFiles();
    const read = inDirectory("config.json", { "model.safetensors": weights }, (dir) => readAll(dir));
    return jsonTarget(3_000, config, read);
  },
  "tokenizer.json, small": () => {
    const read = inDirectory("tokenizer.json", { "tokenizer_config.json": tokenizerConfig }, useTokenizer);
    return jsonTarget(3_000, smallTokenizer(), read);
  },
  "tokenizer.json, bytes": () => {
    const read = inDirectory("tokenizer.json", { "tokenizer_config.json": tokenizerConfig }, useTokenizer);
    return byteTarget(3_000, Buffer.from(JSON.stringify(smallTokenizer())), read);
  },
  "tokenizer.json, real": () => {
    const read = inDirectory("tokenizer.json", { "tokenizer_config.json": tokenizerConfig }, (dir) =>
      loadTokenizer(dir),
    );
    return byteTarget(200, file("models/tiny/tokenizer.json"), read);
  },
  "tokenizer_config.json": () => {
    const others = { "tokenizer.json": Buffer.from(JSON.stringify(smallTokenizer())) };
    return jsonTarget(
      2_000,
      json("models/tiny/tokenizer_config.json"),
      inDirectory("tokenizer_config.json", others, useTokenizer),
    );
  },
  "quantization.json": () => {
    const read = inDirectory("quantization.json", { "config.json": model("config.json") }, (dir) =>
      readModelHeader(dir),
    );
    return jsonTarget(5_000, JSON.parse(model("quantization.json").toString()), read);
  },
  "quantization.json, bytes": () => {
    const read = inDirectory("quantization.json", { "config.json": model("config.json") }, (dir) =>
      readModelHeader(dir),
    );
    return byteTarget(2_000, model("quantization.json"), read);
  },
  "update bundle": () => {
    const { manifest, whole } = smallBundle();
    const read = inDirectory("x.lmb", {}, (_, path) => openBundle(path).file.close());
    return byteTarget(8_000, whole, read, 88 + JSON.stringify(manifest).length);
  },
  "update bundle, manifest": () =>
    jsonTarget(
      8_000,
      JSON.parse(JSON.stringify(smallBundle().manifest)),
      (bytes) => void parseBundleManifest(Buffer.from(bytes).toString(), "x"),
    ),
  "public keys": () => {
    const text = `# a comment\n${Buffer.alloc(32, 1).toString("base64")}\n\n${Buffer.alloc(32, 2).toString("base64")}\n`;
    return byteTarget(
      2_000,
      Buffer.from(text),
      inDirectory("x.pub", {}, (_, path) => void readPublicKeys(path)),
    );
  },
  "checksums.json": () => {
    const entry = (bytes: number) => JSON.stringify({ bytes, sha256: "0".repeat(64) });
    const head = ' "format": "lightmamba-checksums",\n "format_version": 1,\n';
    const files = `  "config.json": ${entry(3)},\n  "w": ${entry(9)}`;
    const text = `{\n${head} "weights_header": ${entry(8)},\n "files": {\n${files}\n }\n}\n`;
    const read = inDirectory("checksums.json", {}, (_, path) => readChecksums(path, "w"));
    return byteTarget(4_000, Buffer.from(text), read);
  },
};
