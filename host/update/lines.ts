/** Lines to a board and from it, over whatever carries bytes. docs/update.md. */
import type { Readable, Writable } from "node:stream";
import { LightMambaError } from "../errors.ts";

/** Longer ones are not the protocol's: the console may say anything. */
const MOST_LINE = 65_536;

/** What carries the lines: how many data lines may be under way, and how many bytes one of them has. */
export interface Pace {
  window: number;
  pieceBytes: number;
  /** Where lines may be damaged or lost: so long after the last one, whatever comes is the answer to something new. */
  quietMs?: number;
  /** Until a line has arrived and an answer is there. */
  answerMs: number;
}

export class BoardLines {
  readonly name: string;
  readonly pace: Pace;
  readonly #output: Writable;
  readonly #lines: string[] = [];
  #rest = "";
  #ended: string | undefined;
  #wake: (() => void) | undefined;

  constructor(name: string, pace: Pace, input: Readable, output: Writable) {
    this.name = name;
    this.pace = pace;
    this.#output = output;
    input.setEncoding("latin1").on("data", (text: string) => this.#take(text));
    input.on("end", () => this.#end("the board has hung up"));
    for (const stream of new Set<Readable | Writable>([input, output])) {
      stream.on("error", (error: Error) => this.#end(error.message));
      stream.on("close", () => this.#end("the connection is closed"));
    }
  }

  get open(): boolean {
    return this.#ended === undefined;
  }

  /** Nobody waits until it is gone: few lines are under way at a time. */
  send(line: string): void {
    this.#assertOpen();
    this.#output.write(`${line}\n`);
  }

  /** The next line; undefined where none has come after so many milliseconds. Throws `device` where none can come any more. */
  async next(milliseconds: number): Promise<string | undefined> {
    if (this.#lines.length === 0) {
      this.#assertOpen();
      await this.#arrival(milliseconds);
    }
    const line = this.#lines.shift();
    if (line === undefined) this.#assertOpen();
    return line;
  }

  #arrival(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!.slice(0, MOST_LINE);
    // A console's lines end in CR LF, and a line that was drawn over begins anew after a CR
    this.#lines.push(...lines.map((line) => plain(line.replace(/\r+$/, "").split("\r").at(-1)!)));
    if (lines.length > 0) this.#wake?.();
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.#wake?.();
  }

  #assertOpen(): void {
    if (this.#ended === undefined) return;
    throw new LightMambaError("device", `no connection to the board any more: ${this.#ended}`, { file: this.name });
  }
}

/** What the board says goes to a terminal. */
function plain(line: string): string {
  return Buffer.from(line, "latin1")
    .toString("utf8")
    .replaceAll(/\p{Cc}/gu, "");
}
