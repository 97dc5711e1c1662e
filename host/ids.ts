/** Token ids from files. */
import { SafetensorsFile } from "./checkpoint/safetensors.ts";
import { badInput } from "./errors.ts";

const MAX_IDS = 2 ** 26;

/** The ids of a safetensors file: its tensor `input_ids` (I64, I32 or U16), any shape. */
export function readIdsFile(path: string): Int32Array {
  const file = SafetensorsFile.open(path);
  try {
    const name = "input_ids";
    const entry = file.tensors.get(name);
    if (!entry) {
      const found = [...file.tensors.keys()].join(", ");
      throw badInput("no such tensor", { file: path, field: name, expected: name, found: found || "no tensors" });
    }
    const { buffer, byteOffset, length } = file.readBytes(name);
    if (length > 8 * MAX_IDS) throw badInput("too many ids", { file: path, expected: `at most ${MAX_IDS}` });
    if (entry.dtype === "I64") return Int32Array.from(new BigInt64Array(buffer, byteOffset, length / 8), toId);
    if (entry.dtype === "I32") return new Int32Array(buffer, byteOffset, length / 4);
    if (entry.dtype === "U16") return Int32Array.from(new Uint16Array(buffer, byteOffset, length / 2));
    throw badInput("another type", { file: path, field: name, expected: "I64, I32 or U16", found: entry.dtype });
  } finally {
    file.close();
  }
}

/** An id that does not fit becomes one that no vocabulary has. */
function toId(value: bigint): number {
  return value >= 0n && value < 2n ** 31n ? Number(value) : -1;
}

/** Refuses ids outside a vocabulary of `size` rows. */
export function checkIds(ids: ArrayLike<number>, size: number, file?: string): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (id >= 0 && id < size) continue;
    const where = { ...(file !== undefined && { file }), field: `input_ids[${i}]` };
    throw badInput("token id outside the vocabulary", { ...where, expected: `0 to ${size - 1}`, found: id });
  }
}
