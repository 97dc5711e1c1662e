import { readFileSync, type Stats, statSync } from "node:fs";
import { badInput, LightMambaError } from "../errors.ts";

/** A prompt beyond this is a mistake in the file name. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;

function tooLarge(file: string, sizeBytes: number): LightMambaError {
  return badInput("text is too large", { file, expected: `at most ${MAX_TEXT_BYTES} bytes`, found: sizeBytes });
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw badInput("not UTF-8 text", { file });
  }
}

async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write("reading from the terminal; end with Ctrl-D\n");
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_TEXT_BYTES) throw tooLarge("standard input", size);
  }
  return decode(Buffer.concat(chunks), "standard input");
}

/** Reading a directory fails too, but with an error that does not say which path it was. */
function statFile(file: string): Stats {
  const stats = statSync(file);
  if (stats.isDirectory()) throw badInput("is a directory, expected a file", { file });
  return stats;
}

/** The whole text of a file, or of standard input for `-`. */
export async function readText(file: string): Promise<string> {
  if (file === "-") return readStdin();
  const { size } = statFile(file);
  if (size > MAX_TEXT_BYTES) throw tooLarge(file, size);
  return decode(readFileSync(file), file);
}

/** The one text a command works on: an argument (`-` = standard input) or a file, not both; undefined if neither. */
export async function textInput(argument: string | undefined, file: string | undefined): Promise<string | undefined> {
  if (argument !== undefined && file !== undefined) {
    throw new LightMambaError("usage", "give the text either as an argument or by a file, not both");
  }
  if (file !== undefined) return readText(file);
  return argument === "-" ? readText("-") : argument;
}
