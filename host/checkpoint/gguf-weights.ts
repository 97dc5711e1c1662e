/** A GGUF file as a checkpoint: its configuration, where its tensors lie, its tokenizer. */

import { readdirSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { badInput } from "../errors.ts";
import { checkArchitecture, ggufConfig, selectKey } from "./config-gguf.ts";
import { Fields } from "./fields.ts";
import { exists, InputFile, isDirectory, systemReason } from "./file.ts";
import { type GgufHead, readGguf } from "./gguf.ts";
import { readVocabulary, tokenizerFiles } from "./gguf-tokenizer.ts";
import { withoutLeadingOnes } from "./naming.ts";
import type { Mamba2Config } from "./types.ts";
import type { WeightRange, Weights } from "./weights.ts";

const EXTENSION = ".gguf";
/** The first must be there. */
const TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json"];
const LARGEST_TOKENIZER = 2 ** 27;

export interface GgufCheckpoint {
  config: Mamba2Config;
  weights: Weights;
  tokenizerFiles(): Map<string, Uint8Array> | undefined;
}

/** The GGUF file that a path means: the file itself, or the only one in a directory that has no config.json. */
export function findGguf(path: string): string | undefined {
  if (!isDirectory(path)) {
    if (extname(path) === EXTENSION) return path;
    throw badInput("not a directory", { file: path, expected: `a checkpoint's directory or a ${EXTENSION} file` });
  }
  if (exists(join(path, "config.json"))) return undefined;
  const names = filesIn(path).filter((name) => extname(name) === EXTENSION);
  if (names.length > 1) {
    const detail = { expected: `one ${EXTENSION} file`, found: names.length, hint: "name the one you mean" };
    throw badInput("several GGUF files", { file: path, ...detail });
  }
  return names.length === 1 ? join(path, names[0]!) : undefined;
}

function filesIn(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch (error) {
    throw badInput(`cannot be read: ${systemReason(error)}`, { file: path });
  }
}

export function openGguf(path: string): GgufCheckpoint {
  const file = InputFile.open(path);
  try {
    const head = readGguf(file, selectKey);
    const fields = new Fields(path, head.metadata);
    checkArchitecture(fields);
    const vocabulary = readVocabulary(fields);
    return {
      config: ggufConfig(fields, head, vocabulary),
      weights: { path, files: [file], ranges: rangesOf(file, head) },
      tokenizerFiles: () => publishedTokenizer(path) ?? (vocabulary && tokenizerFiles(fields, vocabulary)),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The tokenizer's own files beside the GGUF file say more than its metadata: the normal form, every kind of split. */
function publishedTokenizer(path: string): Map<string, Uint8Array> | undefined {
  const beside = TOKENIZER_FILES.filter((name) => exists(join(dirname(path), name)));
  if (!beside.includes(TOKENIZER_FILES[0]!)) return undefined;
  return new Map(beside.map((name) => [name, readWhole(join(dirname(path), name))]));
}

function readWhole(path: string): Uint8Array {
  const file = InputFile.open(path);
  try {
    if (file.size > LARGEST_TOKENIZER) {
      throw badInput("too large", { file: path, expected: `at most ${LARGEST_TOKENIZER} bytes`, found: file.size });
    }
    return file.read(0, file.size);
  } finally {
    file.close();
  }
}

function rangesOf(file: InputFile, { tensors }: GgufHead): Map<string, WeightRange> {
  const ranges = new Map<string, WeightRange>();
  for (const [name, { type, shape, begin, end }] of tensors) {
    ranges.set(name, { dtype: type.name, shape: withoutLeadingOnes(shape), file, begin, end });
  }
  return ranges;
}
