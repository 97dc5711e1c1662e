/** Files read by position, piece by piece, so that a checkpoint larger than memory can be imported. */

import { closeSync, fstatSync, lstatSync, openSync, readSync, statSync } from "node:fs";
import { badInput, type LightMambaError } from "../errors.ts";

/** readSync takes at most 2 GiB at once. */
const LARGEST_READ = 2 ** 30;
/** Nearly: a piece has whole units, so that no element straddles two. */
const PIECE_BYTES = 2 ** 22;

const REASONS: Record<string, string> = {
  ENOENT: "no such file or directory",
  ENOTDIR: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: "is a directory",
  ELOOP: "a loop of symbolic links",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many open files",
  ENOSPC: "no space left on the device",
};

/** What the system said, in words, for a message that already names the file. */
export function systemReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return (code && REASONS[code]) ?? code ?? String(error);
}

function unreadable(path: string, error: unknown): LightMambaError {
  return badInput(`cannot be read: ${systemReason(error)}`, { file: path });
}

export function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** False only when there is nothing by that name: a dangling link or a forbidden file is reported when it is opened. */
export function exists(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Text from an untrusted file, made fit for a one-line message. */
export function printable(text: string, limit = 120): string {
  const escaped = JSON.stringify(text).slice(1, -1);
  return escaped.length > limit ? `${escaped.slice(0, limit)}…` : escaped;
}

export class InputFile {
  readonly path: string;
  readonly size: number;
  #descriptor: number | undefined;

  private constructor(path: string, size: number, descriptor: number) {
    this.path = path;
    this.size = size;
    this.#descriptor = descriptor;
  }

  static open(path: string): InputFile {
    let descriptor: number | undefined;
    try {
      // Asked before opening: opening a FIFO would wait for a writer.
      if (!statSync(path).isFile()) throw badInput("not a regular file", { file: path });
      descriptor = openSync(path, "r");
      return new InputFile(path, fstatSync(descriptor).size, descriptor);
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor);
      throw (error as Error).name === "LightMambaError" ? error : unreadable(path, error);
    }
  }

  /** Fills `target` from byte `begin` on. */
  readInto(target: Uint8Array, begin: number): void {
    if (this.#descriptor === undefined) throw badInput("read after it was closed", { file: this.path });
    let done = 0;
    while (done < target.length) {
      const want = Math.min(target.length - done, LARGEST_READ);
      let got: number;
      try {
        got = readSync(this.#descriptor, target, done, want, begin + done);
      } catch (error) {
        throw unreadable(this.path, error);
      }
      if (got === 0) {
        throw badInput("the file ends too early", {
          file: this.path,
          expected: `${begin + target.length} bytes`,
          found: `${begin + done} bytes`,
        });
      }
      done += got;
    }
  }

  read(begin: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.readInto(bytes, begin);
    return bytes;
  }

  /**
   * The bytes [begin, end) in order, in pieces of whole units. Each piece is a view of the same buffer: use it before
   * asking for the next.
   */
  *pieces(begin: number, end: number, unit = 8): Generator<Uint8Array> {
    const buffer = new Uint8Array(Math.min(PIECE_BYTES - (PIECE_BYTES % unit), end - begin));
    for (let at = begin; at < end; at += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, end - at));
      this.readInto(piece, at);
      yield piece;
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
