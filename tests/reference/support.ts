import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import { SafetensorsFile } from "../../host/checkpoint/safetensors.ts";
import { type ReferenceWeights, weightsFromCheckpoint } from "../../host/reference/index.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

export function loadWeights(model: string): ReferenceWeights {
  return weightsFromCheckpoint(openCheckpoint(join(ROOT, model)));
}

/** Tensors of a golden file: F32 as they are, I64 as Int32Array. */
export function readGolden(path: string) {
  const file = SafetensorsFile.open(join(ROOT, path));
  const bytes = (name: string) => file.readBytes(name).slice().buffer;
  return {
    metadata: file.metadata,
    floats: (name: string) => new Float32Array(bytes(name)),
    ids: (name: string) => Int32Array.from(new BigInt64Array(bytes(name)), Number),
  };
}

/** max |a - b| / max |b|. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  let magnitude = 0;
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    magnitude = Math.max(magnitude, Math.abs(b[i]!));
  }
  return difference / (magnitude || 1);
}

/** The first `keep` columns of a matrix. */
export function columns(values: Float32Array, width: number, keep: number): Float32Array {
  const rows = values.length / width;
  const out = new Float32Array(rows * keep);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * width, r * width + keep), r * keep);
  return out;
}

/** Numbers in [-1, 1) from a seed, for kernel cases. */
export function noise(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
