/** checksums.json: the list of a model directory's files with their sizes and SHA-256 (docs/format.md). */

import { badInput } from "../errors.ts";
import { Fields } from "./fields.ts";
import { InputFile, printable } from "./file.ts";
import { decodeUtf8, isObject, type JsonValue, parseJson } from "./json.ts";

const FORMAT = "lightmamba-checksums";
const VERSION = 1;
const LARGEST = 2 ** 20;
const SHA256 = /^[0-9a-f]{64}$/;
/** A name reaches nothing outside its directory. */
const PLAIN_NAME = /^[^/\\\0]+$/;

export interface Checksum {
  bytes: number;
  sha256: string;
}

export interface Checksums {
  /** The header of the weights, its length included. */
  header: Checksum;
  files: ReadonlyMap<string, Checksum>;
}

/** By name, an entry a line: there is one way to write a list, so that a changed byte in it cannot go unnoticed. */
export function encodeChecksums({ header, files }: Checksums): Buffer {
  const entry = ({ bytes, sha256 }: Checksum) => JSON.stringify({ bytes, sha256 });
  const byName = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = byName.map(([name, sum]) => `  ${JSON.stringify(name)}: ${entry(sum)}`);
  const head = ` "format": "${FORMAT}",\n "format_version": ${VERSION},\n "weights_header": ${entry(header)},`;
  return Buffer.from(`{\n${head}\n "files": {\n${lines.join(",\n")}\n }\n}\n`);
}

/** `weights` must be in the list. */
export function readChecksums(path: string, weights: string): Checksums {
  const bytes = readSmall(path);
  const value = parseJson(decodeUtf8(bytes, path), path);
  if (!isObject(value)) throw badInput("not a JSON object", { file: path });
  const fields = new Fields(path, value);
  if (fields.get("format") !== FORMAT) throw fields.error("format", `"${FORMAT}"`);
  if (fields.get("format_version") !== VERSION) throw fields.error("format_version", String(VERSION));
  const list = fields.get("files");
  if (!isObject(list)) throw fields.error("files", "an object");
  const files = new Map(
    Object.entries(list).map(([name, entry]) => [checkName(name, path), readEntry(entry, path, name)]),
  );
  const header = readEntry(value.weights_header, path, "weights_header");
  const whole = files.get(weights);
  if (!whole || header.bytes > whole.bytes) throw fields.error("files", `${weights}, no smaller than its header`);
  if (!encodeChecksums({ header, files }).equals(bytes)) throw badInput("not as it was written", { file: path });
  return { header, files };
}

function readSmall(path: string): Uint8Array {
  const file = InputFile.open(path);
  try {
    if (file.size > LARGEST) {
      throw badInput("too large", { file: path, expected: `at most ${LARGEST} bytes`, found: file.size });
    }
    return file.read(0, file.size);
  } finally {
    file.close();
  }
}

function checkName(name: string, path: string): string {
  if (PLAIN_NAME.test(name) && name !== "." && name !== "..") return name;
  throw badInput("wrong name", { file: path, field: printable(name), expected: "a file name in this directory" });
}

function readEntry(entry: JsonValue | undefined, path: string, name: string): Checksum {
  if (!isObject(entry)) throw badInput("wrong value", { file: path, field: printable(name), expected: "an object" });
  const fields = new Fields(path, entry, `${printable(name)}.`);
  const { sha256 } = entry;
  if (typeof sha256 !== "string" || !SHA256.test(sha256)) throw fields.error("sha256", "64 hexadecimal digits");
  return { bytes: fields.integer("bytes", [0, Number.MAX_SAFE_INTEGER]), sha256 };
}
