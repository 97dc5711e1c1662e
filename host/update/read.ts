/** Reads bundles. Nothing in them is believed before it was checked. */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { shortHash, summarizeSetup } from "../board/data.ts";
import { InputFile } from "../checkpoint/file.ts";
import { badInput, LightMambaError } from "../errors.ts";
import { aligned, type BundleHead, HEADER_BYTES, manifestBytes, parseHead } from "./header.ts";
import { checkSignature, type PublicKey } from "./keys.ts";
import type { BundleFile } from "./manifest.ts";

const SETUP = "model/setup.json";
/** It has what small areas of memory hold, never the weights. firmware/runner/runner/src/setup.rs */
const MOST_SETUP = 64 * 2 ** 20;

export interface PlacedFile extends BundleFile {
  offset: number;
}

export interface Bundle {
  file: InputFile;
  head: BundleHead;
  files: PlacedFile[];
}

/** Header, manifest, and whether the file has the length that they say; `badInput` otherwise. Whoever opens it closes `file`. */
export function openBundle(path: string): Bundle {
  const file = InputFile.open(path);
  try {
    const start = Buffer.from(file.read(0, Math.min(HEADER_BYTES, file.size)));
    const bytes = Math.min(HEADER_BYTES + manifestBytes(start, path), file.size);
    const head = parseHead(Buffer.from(file.read(0, bytes)), path);
    return { file, head, files: place(head, file) };
  } catch (error) {
    file.close();
    throw error;
  }
}

function place({ bytes: { length }, manifest }: BundleHead, { path, size }: InputFile): PlacedFile[] {
  let offset = aligned(length);
  const files = manifest.files.map((one) => {
    const placed = { ...one, offset };
    offset += aligned(one.bytes);
    return placed;
  });
  if (offset === size) return files;
  throw badInput("the bundle has another length than its files", { file: path, expected: offset, found: size });
}

/** All that can be checked without a board; throws at the first thing that does not hold. */
export async function verifyBundle(
  path: string,
  keys: readonly PublicKey[],
  progress: (done: number, total: number) => void = () => {},
): Promise<BundleHead> {
  const bundle = openBundle(path);
  try {
    checkSignature(bundle.head, keys, path);
    await checkBundle(bundle, progress);
    return bundle.head;
  } finally {
    bundle.file.close();
  }
}

/** All but the signature. */
export async function checkBundle(bundle: Bundle, progress: (done: number, total: number) => void = () => {}) {
  await checkContents(bundle, progress);
  checkSetup(bundle);
}

/** Every byte: files by their hashes, and zeros between them. */
async function checkContents(
  { file, head, files }: Bundle,
  progress: (done: number, total: number) => void,
): Promise<void> {
  checkZeros(file, head.bytes.length);
  for (const { path: field, offset, bytes, sha256 } of files) {
    const hash = createHash("sha256");
    let at = offset;
    for (const piece of file.pieces(offset, offset + bytes)) {
      hash.update(piece);
      at += piece.length;
      progress(aligned(at), file.size);
      // Ctrl-C comes through
      await setImmediate();
    }
    const found = hash.digest("hex");
    if (found !== sha256) {
      const detail = { file: file.path, field, expected: `sha256 ${sha256}`, found };
      throw new LightMambaError("verification", "the file is not as it was signed", detail);
    }
    checkZeros(file, offset + bytes);
  }
}

/** The model's own description says the same as the manifest. */
function checkSetup({ file, head: { manifest }, files }: Bundle): void {
  if (manifest.model === undefined) return;
  const { offset, bytes, path: field } = files.find(({ path }) => path === SETUP)!;
  if (bytes > MOST_SETUP) throw badInput("too large", { file: file.path, field, expected: MOST_SETUP, found: bytes });
  const text = Buffer.from(file.read(offset, bytes)).toString();
  const { board, runtime } = summarizeSetup(text, { file: file.path, field });
  for (const [what, expected, found] of [
    ["board", manifest.board, board],
    ["runtime", manifest.model.runtime, shortHash(runtime)],
  ] as const)
    if (found !== expected)
      throw badInput(`the model is for another ${what}`, { file: file.path, field, expected, found });
}

function checkZeros(file: InputFile, from: number): void {
  const padding = Buffer.from(file.read(from, aligned(from) - from));
  if (padding.equals(Buffer.alloc(padding.length))) return;
  throw badInput("something lies between the files", { file: file.path, field: `after byte ${from}` });
}
