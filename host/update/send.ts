/** A file in lines of base64 with checksums. What is lost or damaged on the way is sent again, from where the board says. */
import { crc32 } from "node:zlib";
import { LightMambaError } from "../errors.ts";
import type { BoardLines } from "./lines.ts";
import type { Bundle, PlacedFile } from "./read.ts";
import { ask, reply } from "./session.ts";

/** Without a byte of progress. */
const MOST_AGAIN = 20;

export interface Sent {
  /** All that was sent, and what of it was sent again. */
  bytes: number;
  again: number;
}

export async function sendFile(
  lines: BoardLines,
  bundle: Bundle,
  file: PlacedFile,
  progress: (done: number) => void,
): Promise<Sent> {
  await ask(lines, `file ${file.path}`, "ok");
  const sender = new Sender(lines, bundle, file);
  while (sender.acknowledged < file.bytes) {
    await sender.step();
    progress(sender.acknowledged);
  }
  const found = await ask(lines, "end", "ok");
  if (found === file.sha256) return { bytes: sender.sent, again: sender.sent - file.bytes };
  const detail = { file: lines.name, field: file.path, expected: `sha256 ${file.sha256}`, found };
  throw new LightMambaError("verification", "the board has other bytes than were sent", detail);
}

class Sender {
  /** Offset up to which the board has the file. */
  acknowledged = 0;
  sent = 0;
  readonly #lines: BoardLines;
  readonly #bundle: Bundle;
  readonly #file: PlacedFile;
  #next = 0;
  /** Offsets after the pieces that are under way. */
  #underWay: number[] = [];
  #fruitless = 0;

  constructor(lines: BoardLines, bundle: Bundle, file: PlacedFile) {
    this.#lines = lines;
    this.#bundle = bundle;
    this.#file = file;
  }

  /** Sends as much as may be under way, and takes an answer. */
  async step(): Promise<void> {
    while (this.#underWay.length < this.#lines.pace.window && this.#next < this.#file.bytes) this.#sendPiece();
    const found = await reply(this.#lines, this.#lines.pace.answerMs);
    const expected = this.#underWay.shift();
    if (found?.kind === "ok" && Number(found.text) === expected) {
      this.acknowledged = expected;
      this.#fruitless = 0;
      return;
    }
    await this.#goBack(found?.kind === "again" ? Number(found.text) : undefined);
  }

  #sendPiece(): void {
    const { offset, bytes } = this.#file;
    const at = this.#next;
    const count = Math.min(this.#lines.pace.pieceBytes, bytes - at);
    const data = Buffer.from(this.#bundle.file.read(offset + at, count));
    const checksum = crc32(data).toString(16).padStart(8, "0");
    this.#lines.send(`data ${at} ${checksum} ${data.toString("base64")}`);
    this.#next = at + count;
    this.sent += count;
    this.#underWay.push(this.#next);
  }

  /** To where the board says it is; the last of its answers to what is under way says so. */
  async #goBack(at: number | undefined): Promise<void> {
    const { quietMs, answerMs } = this.#lines.pace;
    let last = at;
    this.#fruitless++;
    if (!quietMs && at === undefined) throw this.#fault("no answer, or one that does not fit");
    for (let left = this.#underWay.length; quietMs || left > 0; left--) {
      const found = await reply(this.#lines, quietMs ?? answerMs);
      if (found === undefined) break;
      last = Number(found.text);
    }
    this.#underWay = [];
    if (last !== undefined && Number.isSafeInteger(last) && last >= 0 && last <= this.#file.bytes) {
      if (last > this.acknowledged) this.#fruitless = 0;
      this.acknowledged = last;
    }
    this.#next = this.acknowledged;
    if (this.#fruitless > MOST_AGAIN) throw this.#fault(`${MOST_AGAIN} times nothing has arrived`);
  }

  #fault(what: string): LightMambaError {
    const field = `${this.#file.path}, byte ${this.acknowledged}`;
    return new LightMambaError("device", `the connection is too bad: ${what}`, { file: this.#lines.name, field });
  }
}
