/**
 * checksums.json: the size and SHA-256 of every file of a model directory, so that a changed byte is noticed. All of
 * them are checked by `lightmamba inspect --verify`, the quick ones whenever a model is loaded.
 */
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Checksum, type Checksums, encodeChecksums, readChecksums } from "./checkpoint/checksums.ts";
import { Fields } from "./checkpoint/fields.ts";
import { exists, InputFile, printable } from "./checkpoint/file.ts";
import { readJsonObject } from "./checkpoint/json.ts";
import { SafetensorsFile } from "./checkpoint/safetensors.ts";
import { fileSha256 } from "./checkpoint/sha256.ts";
import { badInput, type ErrorDetail, LightMambaError } from "./errors.ts";
import { MODEL_FILES } from "./model/description.ts";

export const CHECKSUMS = "checksums.json";
/** A file larger than this is not read when a model is loaded; of the weights only the header is. */
const QUICK_BYTES = 2 ** 20;
/** The files that this program reads: one that the list lacks was put there later. */
const READ_FILES = [...Object.values(MODEL_FILES), "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
const HINT = "copy the model again, or quantize the checkpoint again";

export interface Verified {
  dir: string;
  /** What was checked, byte by byte. */
  files: { name: string; bytes: number; sha256: string }[];
  /** False for a directory without checksums.json, as earlier versions wrote it: only the weights were checked. */
  complete: boolean;
}

/** Writes checksums.json over all that is in the directory: the last thing done to it. */
export function writeChecksums(dir: string): void {
  const names = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== CHECKSUMS)
    .map(({ name }) => name);
  const files = new Map(names.map((name) => [name, checksum(join(dir, name))]));
  const weights = join(dir, MODEL_FILES.weights);
  writeFileSync(join(dir, CHECKSUMS), encodeChecksums({ header: checksum(weights, headerBytes(weights)), files }));
}

/**
 * Notices cheaply that a directory is not what was written: sizes of all files, the bytes of the small ones, the header
 * of the weights. False where the directory has no checksums.json.
 */
export function checkQuickly(dir: string): boolean {
  if (!exists(join(dir, CHECKSUMS))) return false;
  const { header, files } = readList(dir);
  checkNames(dir, files);
  for (const [name, want] of files) checkFile(dir, name, want, want.bytes <= QUICK_BYTES);
  checkHeader(dir, header);
  return true;
}

/** Reads every byte. Throws `verification`, with the first file that is not as it was written. */
export function verifyModel(dir: string): Verified {
  if (!exists(join(dir, MODEL_FILES.description)) && !exists(join(dir, CHECKSUMS))) {
    const hint = "only a directory that lightmamba quantize wrote has checksums";
    throw badInput("not a model directory", { file: dir, expected: MODEL_FILES.description, hint });
  }
  if (!exists(join(dir, CHECKSUMS))) return verifyWeights(dir);
  const { header, files } = readList(dir);
  checkNames(dir, files);
  for (const [name, want] of files) checkFile(dir, name, want, true);
  checkHeader(dir, header);
  checkWeightsSha256(dir, files.get(MODEL_FILES.weights)!.sha256);
  return { dir, files: [...files].map(([name, { bytes, sha256 }]) => ({ name, bytes, sha256 })), complete: true };
}

/** A directory of an earlier version: its description has the checksum of the weights, and that is all. */
function verifyWeights(dir: string): Verified {
  const name = MODEL_FILES.weights;
  const { bytes, sha256 } = checksum(join(dir, name));
  checkWeightsSha256(dir, sha256);
  return { dir, files: [{ name, bytes, sha256 }], complete: false };
}

function checkWeightsSha256(dir: string, found: string): void {
  const path = join(dir, MODEL_FILES.description);
  const expected = new Fields(path, readJsonObject(path)).get("weights_sha256");
  if (expected === found) return;
  const detail = { file: join(dir, MODEL_FILES.weights), expected: `sha256 ${printable(String(expected))}`, found };
  throw changed(`the weights are not those that ${MODEL_FILES.description} names`, detail);
}

function readList(dir: string): Checksums {
  return asVerification(() => readChecksums(join(dir, CHECKSUMS), MODEL_FILES.weights));
}

function changed(what: string, detail: ErrorDetail): LightMambaError {
  return new LightMambaError("verification", what, { ...detail, hint: HINT });
}

function checksum(path: string, bytes = statSync(path).size): Checksum {
  return { bytes, sha256: fileSha256(path, bytes) };
}

function headerBytes(path: string): number {
  const file = SafetensorsFile.open(path);
  file.close();
  return Math.min(file.file.size, ...[...file.tensors.values()].map(({ begin }) => begin));
}

/** Every file of the list is there, and every file that the program would read is in the list. */
function checkNames(dir: string, files: ReadonlyMap<string, Checksum>): void {
  for (const name of READ_FILES) {
    if (!files.has(name) && exists(join(dir, name))) {
      throw changed(`the file is not in ${CHECKSUMS}`, { file: join(dir, name) });
    }
  }
  for (const name of files.keys()) {
    if (!exists(join(dir, name))) throw changed("the file is missing", { file: join(dir, name) });
  }
}

function checkFile(dir: string, name: string, want: Checksum, wholly: boolean): void {
  const path = join(dir, name);
  const bytes = asVerification(() => sizeOf(path));
  if (bytes !== want.bytes) {
    throw changed("the file has another size", {
      file: path,
      expected: `${want.bytes} bytes`,
      found: `${bytes} bytes`,
    });
  }
  if (wholly) compare(path, want.bytes, want.sha256, "the file was changed");
}

function checkHeader(dir: string, { bytes, sha256 }: Checksum): void {
  compare(join(dir, MODEL_FILES.weights), bytes, sha256, "the header of the weights was changed");
}

function compare(path: string, bytes: number, expected: string, what: string): void {
  const found = asVerification(() => fileSha256(path, bytes));
  if (found !== expected) throw changed(what, { file: path, expected: `sha256 ${expected}`, found });
}

function sizeOf(path: string): number {
  const file = InputFile.open(path);
  file.close();
  return file.size;
}

/** What cannot be read where it was written is as bad as what was changed. */
function asVerification<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof LightMambaError)) throw error;
    throw LightMambaError.revive({ exit: "verification", message: error.message, detail: error.detail });
  }
}
