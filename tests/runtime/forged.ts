/** Saved states that no session wrote. */
import { createHash } from "node:crypto";
import { SafetensorsFile, type SafetensorsTensor, writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import { newPath } from "./support.ts";

/** A saved state with its tensors or metadata changed. */
export function rewritten(
  path: string,
  edit: (tensors: Map<string, Uint8Array>, metadata: Record<string, string>) => void,
): string {
  const file = SafetensorsFile.open(path);
  const tensors = new Map([...file.tensors.keys()].map((name) => [name, file.readBytes(name)]));
  const metadata = { ...file.metadata };
  file.close();
  edit(tensors, metadata);
  const list = [...tensors].map(
    ([name, data]): SafetensorsTensor => ({ name, dtype: "U8", shape: [data.length], data }),
  );
  const target = newPath();
  writeSafetensors(target, list, { metadata });
  return target;
}

/** The same, with a checksum that holds. */
export function resealed(path: string, edit: Parameters<typeof rewritten>[1]): string {
  return rewritten(path, (tensors, metadata) => {
    edit(tensors, metadata);
    const hash = createHash("sha256").update(tensors.get("state")!).update(tensors.get("sampler")!);
    metadata.sha256 = hash.update(metadata.last_token ?? "").digest("hex");
  });
}

/** Puts a value into the state of layer 0 and seals it with its own checksum. */
export function forged(path: string, at: number, bytes: 1 | 2 | 4, value: number): string {
  return resealed(path, (tensors) => {
    const state = tensors.get("state")!;
    const view = new DataView(state.buffer, state.byteOffset);
    if (bytes === 1) view.setInt8(at, value);
    else if (bytes === 2) view.setInt16(at, value, true);
    else view.setUint32(at, value, true);
  });
}
