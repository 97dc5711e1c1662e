/** Small right files to start from. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { modelId } from "../../host/board/data.ts";
import { aligned, makeHead } from "../../host/update/header.ts";
import { type BundleManifest, MODEL_FILES, SYSTEM_FILE } from "../../host/update/manifest.ts";
import { pickledStateDict, pickledTensor, syntheticCheckpoint, zipBytes } from "../checkpoint/support.ts";

const ROOT = join(import.meta.dirname, "../..");

export function smallTorchFile(): { pickle: Buffer; archive: Buffer } {
  const pickle = pickledStateDict(pickledTensor());
  const parts = [
    { name: "a/data.pkl", data: pickle, zip64: true },
    { name: "a/data/0", data: new Uint8Array(24) },
  ];
  return { pickle, archive: zipBytes(parts, true) };
}

/** The embedded model's tokenizer with its bytes and its first merges. */
export function smallTokenizer() {
  const json = JSON.parse(readFileSync(join(ROOT, "models/tiny/tokenizer.json"), "utf8"));
  const merges: [string, string][] = json.model.merges.slice(0, 12);
  const kept = new Set(merges.map((pair) => pair.join("")));
  const vocab = Object.entries<number>(json.model.vocab).filter(([token, id]) => id <= 256 || kept.has(token));
  return { ...json, model: { ...json.model, merges, vocab: Object.fromEntries(vocab) } };
}

export function smallCheckpointFiles() {
  const dir = syntheticCheckpoint({});
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  return { config, weights: readFileSync(join(dir, "model.safetensors")) };
}

/** Both parts, of a few bytes; nobody has signed it. */
export function smallBundle(): { manifest: BundleManifest; whole: Buffer } {
  const files = [SYSTEM_FILE, ...MODEL_FILES].map((path, i) => ({
    path,
    bytes: 100 * i + 1,
    sha256: `${i}`.repeat(64),
  }));
  const runtime = "0123456789abcdef";
  const manifest: BundleManifest = {
    format: "lightmamba-bundle",
    version: 1,
    board: "qemu",
    title: "a test",
    system: { version: "0.1.0", runtime, file: SYSTEM_FILE },
    model: { id: modelId(files.slice(1).map(({ sha256 }) => sha256)), runtime },
    files,
  };
  const head = makeHead(manifest, Buffer.alloc(8, 7), () => Buffer.alloc(64, 9));
  const rest = files.reduce((sum, { bytes }) => sum + aligned(bytes), aligned(head.length) - head.length);
  return { manifest, whole: Buffer.concat([head, Buffer.alloc(rest)]) };
}
