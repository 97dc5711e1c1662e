/** Checkpoints with random weights of any sizes, and places to put models. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { SafetensorsFile, writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import type { ExitName } from "../../host/errors.ts";
import { editSafetensors, expectError } from "../checkpoint/support.ts";
import { noise } from "../reference/support.ts";

export const ROOT = join(import.meta.dirname, "../..");
export const TINY = join(ROOT, "models/tiny");
export const TINY_W4A4 = join(ROOT, "models/tiny-w4a4");
export const GOLDEN = join(ROOT, "tests/golden");
/** Checkpoints with random weights, made by transformers; none has a tokenizer. */
export const ODD = ["odd-a", "odd-b", "odd-f-original"] as const;

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-quantize-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
let directories = 0;

export function emptyDirectory(): string {
  const path = join(scratch, String(directories++));
  mkdirSync(path);
  return path;
}

/** A name in an empty directory: whatever else appears beside it was left behind. */
export function newOutput(): { parent: string; output: string } {
  const parent = emptyDirectory();
  return { parent, output: join(parent, "model") };
}

/** A copy of a golden checkpoint, free to be broken. */
export function copyOf(golden: string): string {
  const path = emptyDirectory();
  cpSync(join(GOLDEN, golden), path, { recursive: true });
  return path;
}

/** Awaits what must fail, and expects the package's own error of this kind with all these parts. */
export async function expectRejection(act: Promise<unknown>, exit: ExitName, ...parts: string[]): Promise<void> {
  const failure = await act.then(
    () => new Error("nothing was thrown"),
    (error: unknown) => error,
  );
  const again = () => {
    throw failure;
  };
  expectError(again, exit, ...parts);
}

/** Everything in a directory, at any depth. */
export function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" }).sort();
}

/** Changes one F32 tensor of a checkpoint, given by the end of its name. */
export function editTensor(checkpoint: string, end: string, edit: (value: number, index: number) => number): void {
  editSafetensors(join(checkpoint, "model.safetensors"), (header, data) => {
    const name = Object.keys(header).find((key) => key.endsWith(end))!;
    if (header[name].dtype !== "F32") throw new Error(`${name} is ${header[name].dtype}`);
    const [begin, stop] = header[name].data_offsets;
    for (let at = begin, i = 0; at < stop; at += 4, i++) data.writeFloatLE(edit(data.readFloatLE(at), i), at);
  });
}

/** Token ids of a golden file. */
export function goldenIds(path: string, name = "input_ids"): Int32Array {
  const file = SafetensorsFile.open(join(GOLDEN, path));
  const bytes = file.readBytes(name).slice();
  file.close();
  return Int32Array.from(new BigInt64Array(bytes.buffer), Number);
}

export interface Sizes {
  hidden_size: number;
  expand: number;
  num_heads: number;
  head_dim: number;
  state_size: number;
  n_groups: number;
  vocab_size: number;
  num_hidden_layers: number;
}

/** Bounds of a tensor's random values, [centre, width], by the end of its name; what is not here is 0 ± 0.3. */
const RANGES: Record<string, [centre: number, width: number]> = {
  "norm.weight": [1, 0.4],
  "norm_f.weight": [1, 0.4],
  A_log: [0.5, 0.7],
  dt_bias: [-2, 1],
  D: [1, 0.3],
};

/** A checkpoint of the Hugging Face form in F32 with random weights, the same for the same sizes. */
export function randomCheckpoint(sizes: Sizes): string {
  const path = emptyDirectory();
  const config = { model_type: "mamba2", conv_kernel: 4, tie_word_embeddings: true, use_bias: false, ...sizes };
  writeFileSync(join(path, "config.json"), JSON.stringify(config));
  const tensors = Object.entries(shapesOf(sizes)).map(([name, shape], i) => {
    const [centre, width] = Object.entries(RANGES).find(([end]) => name.endsWith(end))?.[1] ?? [0, 0.3];
    const values = noise(
      shape.reduce((a, b) => a * b),
      i + 1,
    ).map((value) => centre + width * value);
    return { name: `backbone.${name}`, dtype: "F32" as const, shape, data: new Uint8Array(values.buffer) };
  });
  writeSafetensors(join(path, "model.safetensors"), tensors);
  return path;
}

function shapesOf(sizes: Sizes): Record<string, number[]> {
  const { hidden_size: d, num_heads: h, vocab_size, n_groups, state_size } = sizes;
  const inner = h * sizes.head_dim;
  const channels = inner + 2 * n_groups * state_size;
  const shapes: Record<string, number[]> = { "embeddings.weight": [vocab_size, d], "norm_f.weight": [d] };
  for (let i = 0; i < sizes.num_hidden_layers; i++) {
    Object.assign(shapes, {
      [`layers.${i}.norm.weight`]: [d],
      [`layers.${i}.mixer.in_proj.weight`]: [inner + channels + h, d],
      [`layers.${i}.mixer.conv1d.weight`]: [channels, 1, 4],
      [`layers.${i}.mixer.conv1d.bias`]: [channels],
      [`layers.${i}.mixer.A_log`]: [h],
      [`layers.${i}.mixer.D`]: [h],
      [`layers.${i}.mixer.dt_bias`]: [h],
      [`layers.${i}.mixer.norm.weight`]: [inner],
      [`layers.${i}.mixer.out_proj.weight`]: [d, inner],
    });
  }
  return shapes;
}

/** d_model = 50 and d_inner = 100: neither has a Hadamard matrix of its own size. */
export const NO_FULL_HADAMARD: Sizes = {
  hidden_size: 50,
  expand: 2,
  num_heads: 5,
  head_dim: 20,
  state_size: 24,
  n_groups: 1,
  vocab_size: 61,
  num_hidden_layers: 2,
};
