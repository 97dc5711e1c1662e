/** Small right files to start from. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
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
