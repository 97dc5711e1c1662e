/** Reads the head of a GGUF file in order, a piece at a time: how long it is shows only at its end. */

import { badInput, type LightMambaError } from "../errors.ts";
import type { InputFile } from "./file.ts";

/** The largest vocabularies in use make heads of about 20 MB. */
const LARGEST_HEAD = 2 ** 27;
const PIECE = 2 ** 16;
/** A token may well be U+FEFF. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class GgufCursor {
  readonly file: InputFile;
  #at = 0;
  #piece: DataView = new DataView(new ArrayBuffer(0));
  #pieceBegin = 0;

  constructor(file: InputFile) {
    this.file = file;
  }

  get at(): number {
    return this.#at;
  }

  /** What the head may still have. */
  get left(): number {
    return Math.min(this.file.size, LARGEST_HEAD) - this.#at;
  }

  error(field: string, what: string, expected?: string | number, found?: string | number): LightMambaError {
    return badInput(what, {
      file: this.file.path,
      field,
      ...(expected !== undefined && { expected }),
      ...(found !== undefined && { found }),
    });
  }

  skip(bytes: number, field: string): void {
    this.need(bytes, field);
    this.#at += bytes;
  }

  /** Checks that there are so many bytes left before anything is allocated for them. */
  need(bytes: number, field: string): void {
    if (bytes <= this.left) return;
    const full = this.file.size > LARGEST_HEAD;
    const what = full ? "the metadata is too large" : "the file ends in the middle of its metadata";
    throw this.error(field, what, `at most ${this.left} bytes more`, bytes);
  }

  /** Calls `read` with a view of the next `bytes` bytes and moves on. */
  take<T>(bytes: number, field: string, read: (view: DataView, at: number) => T): T {
    this.need(bytes, field);
    const end = this.#at + bytes;
    if (this.#at < this.#pieceBegin || end > this.#pieceBegin + this.#piece.byteLength) {
      const length = Math.max(bytes, Math.min(PIECE, this.file.size - this.#at));
      this.#piece = new DataView(this.file.read(this.#at, length).buffer);
      this.#pieceBegin = this.#at;
    }
    const value = read(this.#piece, this.#at - this.#pieceBegin);
    this.#at = end;
    return value;
  }

  u32(field: string): number {
    return this.take(4, field, (view, at) => view.getUint32(at, true));
  }

  /** A count or an offset: it must be exact as a double. */
  size(field: string): number {
    const value = this.take(8, field, (view, at) => view.getBigUint64(at, true));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.error(field, "absurdly large", undefined, String(value));
    return Number(value);
  }

  /** A key or a name: never empty. */
  name(field: string, most: number): string {
    const name = this.text(field, most);
    if (name === "") throw this.error(field, "an empty name");
    return name;
  }

  text(field: string, most: number): string {
    const length = this.size(field);
    if (length > most) throw this.error(field, "the text is too long", `at most ${most} bytes`, length);
    return this.take(length, field, (view, at) => {
      try {
        return UTF8.decode(new Uint8Array(view.buffer, view.byteOffset + at, length));
      } catch {
        throw this.error(field, "not valid UTF-8 text");
      }
    });
  }
}
