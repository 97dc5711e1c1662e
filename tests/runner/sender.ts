/** The host's side of an update line by line, written from docs/update.md: it can stop and go wrong anywhere. */
import type { Readable, Writable } from "node:stream";
import { crc32 } from "node:zlib";
import { headOf, type Key, type Parts } from "./bundle.ts";

const PIECE_BYTES = 24 * 1024;
const HEAD_CHARACTERS = 48 * 1024;

/** Lines there and back. */
export class Talk {
  readonly #input: Writable;
  readonly #chunks: AsyncIterator<Buffer>;
  #text = "";
  /** Lines that began with `note`. */
  readonly notes: string[] = [];

  constructor(input: Writable, output: Readable) {
    this.#input = input;
    // Who has ended does not read any more
    input.on("error", () => {});
    this.#chunks = output[Symbol.asyncIterator]();
  }

  send(line: string | Buffer): void {
    this.#input.write(Buffer.concat([Buffer.from(line), Buffer.from("\n")]));
  }

  end(): void {
    this.#input.end();
  }

  /** Undefined at the end. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end < 0) {
        const { done, value } = await this.#chunks.next();
        if (done) return undefined;
        this.#text += value;
        continue;
      }
      const line = this.#text.slice(0, end).replace(/\r$/, "");
      this.#text = this.#text.slice(end + 1);
      if (!line.startsWith("note ")) return line;
      this.notes.push(line);
    }
  }

  async ask(line: string | Buffer): Promise<string | undefined> {
    this.send(line);
    return this.line();
  }
}

export function dataLine(bytes: Buffer, offset: number): string {
  return `data ${offset} ${crc32(bytes).toString(16)} ${bytes.toString("base64")}`;
}

/** In one line, or in several. */
export function headLines(head: Buffer): string[] {
  const text = head.toString("base64");
  const pieces = text.match(new RegExp(`.{1,${HEAD_CHARACTERS}}`, "g")) ?? [];
  return pieces.map((piece, i) => `${i < pieces.length - 1 ? "head+" : "head"} ${piece}`);
}

export function fileLines(path: string, bytes: Buffer): string[] {
  const lines = [`file ${path}`];
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) lines.push(dataLine(bytes.subarray(at, at + PIECE_BYTES), at));
  return [...lines, "end"];
}

/** All lines of an update of which nothing is there already. */
export function updateLines({ manifest, files }: Parts, key: Key): string[] {
  const sent = manifest.files.flatMap(({ path }, i) => fileLines(path, files[i]!));
  return [...headLines(headOf(JSON.stringify(manifest), key)), ...sent, "install"];
}
