/** Builders of checkpoints and of broken ones, for the tests of this directory. */

import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { DTYPE_BYTES } from "../../host/checkpoint/dtype.ts";
import { type SafetensorsDtype, writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import { type ExitName, LightMambaError } from "../../host/errors.ts";

export const GOLDEN = join(import.meta.dirname, "../golden");
export const TINY = join(import.meta.dirname, "../../models/tiny");

const root = mkdtempSync(join(tmpdir(), "lightmamba-checkpoint-"));
after(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;

export function emptyDirectory(): string {
  const path = join(root, String(directories++));
  mkdirSync(path);
  return path;
}

/** A copy of a golden checkpoint, free to be broken. */
export function copyOf(golden: string): string {
  const path = emptyDirectory();
  cpSync(join(GOLDEN, golden), path, { recursive: true });
  return path;
}

/** Runs `act` and expects the package's own error, on one line, of this kind and with all these parts. */
export function expectError(act: () => unknown, exit: ExitName, ...parts: string[]): void {
  assert.throws(act, (error: unknown) => {
    assert.ok(error instanceof LightMambaError, `not a LightMambaError: ${(error as Error)?.stack ?? error}`);
    assert.equal(error.exit, exit, error.message);
    for (const part of parts) assert.ok(error.message.includes(part), `"${part}" is not in "${error.message}"`);
    assert.ok(!error.message.includes("\n"), "more than one line");
    assert.ok(error.message.length < 600, "a message too long to read");
    return true;
  });
}

// biome-ignore lint/suspicious/noExplicitAny: tests break JSON in ways its types would forbid.
export type Json = any;

export function editJson(path: string, edit: (json: Json) => unknown): void {
  const json = JSON.parse(readFileSync(path, "utf8"));
  edit(json);
  writeFileSync(path, JSON.stringify(json));
}

export function editBytes(path: string, edit: (bytes: Buffer) => Uint8Array): void {
  writeFileSync(path, edit(readFileSync(path)));
}

/** A safetensors file with any header, right or wrong. */
export function safetensorsBytes(header: Json, data: Uint8Array = new Uint8Array(0)): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

/** Rewrites a safetensors file's header, and its data where the edit returns them. */
export function editSafetensors(path: string, edit: (header: Json, data: Buffer) => unknown): void {
  editBytes(path, (bytes) => {
    const end = 8 + Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString("utf8", 8, end));
    const data = bytes.subarray(end);
    const edited = edit(header, data);
    return safetensorsBytes(header, Buffer.isBuffer(edited) ? edited : data);
  });
}

export interface ZipPart {
  name: string;
  data: Uint8Array;
  method?: number;
  /** Puts sizes and offset of the entry in a zip64 extra. */
  zip64?: boolean;
}

/** A zip archive of stored entries. */
export function zipBytes(parts: ZipPart[], zip64End = false): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const part of parts) {
    const local = localEntry(part);
    centrals.push(centralEntry(part, offset));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const end64 = zip64End ? endRecord64(parts.length, directory.length, offset) : Buffer.alloc(0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt32LE(zip64End ? 0xffffffff : directory.length, 12);
  end.writeUInt32LE(zip64End ? 0xffffffff : offset, 16);
  return Buffer.concat([...locals, directory, end64, end]);
}

function localEntry({ name, data, method = 0 }: ZipPart): Buffer {
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(method, 8);
  header.writeUInt32LE(data.length, 18);
  header.writeUInt32LE(data.length, 22);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, Buffer.from(name), data]);
}

function centralEntry({ name, data, method = 0, zip64 = false }: ZipPart, offset: number): Buffer {
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(method, 10);
  header.writeUInt32LE(zip64 ? 0xffffffff : data.length, 20);
  header.writeUInt32LE(zip64 ? 0xffffffff : data.length, 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt32LE(zip64 ? 0xffffffff : offset, 42);
  const extra = Buffer.alloc(zip64 ? 28 : 0);
  if (zip64) {
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(24, 2);
    [data.length, data.length, offset].forEach((value, i) => {
      extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
    });
  }
  header.writeUInt16LE(extra.length, 30);
  return Buffer.concat([header, Buffer.from(name), extra]);
}

function endRecord64(count: number, size: number, offset: number): Buffer {
  const record = Buffer.alloc(56 + 20);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(size), 40);
  record.writeBigUInt64LE(BigInt(offset), 48);
  record.writeUInt32LE(0x07064b50, 56);
  record.writeBigUInt64LE(BigInt(offset + size), 64);
  return record;
}

const text = (value: string) => {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([Buffer.from("X"), length, bytes]);
};
const int = (value: number) => {
  const bytes = Buffer.alloc(5);
  bytes.write("J");
  bytes.writeInt32LE(value, 1);
  return bytes;
};
const op = (code: string) => Buffer.from(code, "latin1");

/** The instructions of a pickle by what they do, for building one by hand. */
export const P = {
  text,
  int,
  op,
  start: op("\x80\x02"),
  stop: op("."),
  global: (module: string, name: string) => op(`c${module}\n${name}\n`),
  tuple: (...items: Uint8Array[]) => Buffer.concat([op("("), ...items, op("t")]),
  join: (...parts: Uint8Array[]) => Buffer.concat(parts),
};

export interface TensorSpec {
  key?: string;
  storageType?: string;
  length?: number;
  offset?: number;
  shape?: number[];
  strides?: number[];
}

/** A tensor as torch.save writes it. */
export function pickledTensor(spec: TensorSpec = {}): Buffer {
  const { key = "0", storageType = "FloatStorage", length = 6, offset = 0, shape = [2, 3], strides = [3, 1] } = spec;
  const storage = P.tuple(text("storage"), P.global("torch", storageType), text(key), text("cpu"), int(length));
  const hooks = P.join(P.global("collections", "OrderedDict"), op(")R"));
  const args = [
    P.join(storage, op("Q")),
    int(offset),
    P.tuple(...shape.map(int)),
    P.tuple(...strides.map(int)),
    op("\x89"),
    hooks,
  ];
  return P.join(P.global("torch._utils", "_rebuild_tensor_v2"), P.tuple(...args), op("R"));
}

/** A pickled dict of one tensor named "w". */
export function pickledStateDict(tensor: Uint8Array): Buffer {
  return P.join(P.start, op("}("), text("w"), tensor, op("u"), P.stop);
}

/** A checkpoint of one layer, all zeros, in the Hugging Face form: 9 tokens, no biases in the projections, tied. */
export function syntheticCheckpoint(given: Json, dtype: SafetensorsDtype = "BF16"): string {
  const small = { hidden_size: 16, expand: 2, head_dim: 8, num_heads: 4, n_groups: 1, conv_kernel: 4, state_size: 4 };
  const config = {
    model_type: "mamba2",
    num_hidden_layers: 1,
    vocab_size: 9,
    tie_word_embeddings: true,
    ...small,
    ...given,
  };
  const width = config.num_heads * config.head_dim;
  const channels = width + 2 * config.n_groups * config.state_size;
  const shapes: { [name: string]: number[] } = {
    "embeddings.weight": [config.vocab_size, config.hidden_size],
    "layers.0.norm.weight": [config.hidden_size],
    "layers.0.mixer.in_proj.weight": [width + channels + config.num_heads, config.hidden_size],
    "layers.0.mixer.conv1d.weight": [channels, 1, config.conv_kernel],
    "layers.0.mixer.conv1d.bias": [channels],
    "layers.0.mixer.A_log": [config.num_heads],
    "layers.0.mixer.D": [config.num_heads],
    "layers.0.mixer.dt_bias": [config.num_heads],
    "layers.0.mixer.norm.weight": [width],
    "layers.0.mixer.out_proj.weight": [config.hidden_size, width],
    "norm_f.weight": [config.hidden_size],
  };
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b) * DTYPE_BYTES[dtype];
    return { name: `backbone.${name}`, dtype, shape, data: new Uint8Array(size) };
  });
  const path = emptyDirectory();
  writeFileSync(join(path, "config.json"), JSON.stringify(config));
  writeSafetensors(join(path, "model.safetensors"), tensors);
  return path;
}
