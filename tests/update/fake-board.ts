/**
 * The board's side of the line protocol, written from docs/update.md alone, on a socket: what comes is kept, and faults lie between. The board's own
 * program is in interop.test.ts.
 */
import { createHash } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { crc32 } from "node:zlib";
import { HEADER_BYTES } from "../../host/update/header.ts";
import { OWN } from "../flash/cards.ts";

export interface Faults {
  /** Changes a line of the host's on its way, or swallows it. */
  toBoard?: (line: string, count: number) => string | undefined;
  /** The same for an answer. */
  toHost?: (line: string, count: number) => string | undefined;
  /** What it says to begin with. */
  ready?: string;
  /** Files that it has already. */
  has?: string[];
  install?: string[];
}

export class FakeBoard {
  readonly files = new Map<string, Buffer>();
  readonly heard: string[] = [];
  installed = false;
  readonly #faults: Faults;
  readonly #server: Server;
  #head = "";
  #open: { path: string; data: Buffer[]; at: number } | undefined;
  #answers = 0;

  constructor(path: string, faults: Faults = {}) {
    this.#faults = faults;
    this.#server = createServer((socket) => this.#serve(socket)).listen(path);
  }

  close(): void {
    this.#server.close();
  }

  #serve(socket: Socket): void {
    socket.on("error", () => {});
    const answer = (line: string) => {
      const sent = this.#faults.toHost ? this.#faults.toHost(line, this.#answers++) : line;
      if (sent !== undefined && socket.writable) socket.write(`${sent}\r\n`);
    };
    const lines = createInterface({ input: socket }).on("error", () => {});
    lines.on("line", (line) => {
      const heard = this.#faults.toBoard ? this.#faults.toBoard(line, this.heard.length) : line;
      this.heard.push(line.slice(0, 40));
      if (heard === "hang up") socket.destroy();
      else if (heard !== undefined) this.#take(heard, answer);
    });
  }

  #take(line: string, answer: (line: string) => void): void {
    const [word, ...rest] = line.split(" ");
    if (this.#open !== undefined) this.#takeData(word!, rest, answer);
    else if (word?.replace("\x15", "") === "/update") answer(this.#faults.ready ?? `update 1 ready ${OWN} qemu A`);
    else if (word === "head+" || word === "head") {
      this.#head += rest[0];
      answer(word === "head" ? `want ${this.#wanted().join(" ")}` : `ok ${this.#head.length}`);
    } else if (word === "file") {
      this.#open = { path: rest[0]!, data: [], at: 0 };
      answer("ok 0");
    } else if (word === "install") {
      this.installed = true;
      for (const text of this.#faults.install ?? ["note testing it", "done model 0123456789abcdef"]) answer(text);
    } else if (word !== "quit") answer(`error not a line of an update: ${line.slice(0, 20)}`);
  }

  #wanted(): string[] {
    const manifest = JSON.parse(Buffer.from(this.#head, "base64").subarray(HEADER_BYTES).toString());
    const paths = manifest.files.map(({ path }: { path: string }) => path);
    return paths.filter((path: string) => !this.#faults.has?.includes(path));
  }

  #takeData(word: string, [offset, checksum, text = ""]: string[], answer: (line: string) => void): void {
    const open = this.#open!;
    const data = Buffer.from(text, "base64");
    const right = word === "data" && Number(offset) === open.at && Number.parseInt(checksum!, 16) === crc32(data);
    if (right) {
      open.data.push(data);
      open.at += data.length;
    }
    if (word === "end") {
      const whole = Buffer.concat(open.data);
      this.files.set(open.path, whole);
      this.#open = undefined;
      answer(`ok ${createHash("sha256").update(whole).digest("hex")}`);
    } else answer(`${right ? "ok" : "again"} ${open.at}`);
  }
}
