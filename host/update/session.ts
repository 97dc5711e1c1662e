/** An update, line by line: what the bundle is, which of its files the board wants, these, the installation. docs/update.md. */
import { LightMambaError } from "../errors.ts";
import type { BundleHead } from "./header.ts";
import type { BoardLines } from "./lines.ts";

export interface Board {
  /** Of the runtime of its system, short. */
  runtime: string;
  board: string;
  /** That runs; - where there are none. */
  slot: string;
}

export interface Reply {
  kind: "ok" | "again" | "want" | "done";
  text: string;
}

/** What the board does meanwhile. */
export type OnNote = (text: string) => void;

const PROTOCOL = 1;
const READY = /update (\d+) ready ([0-9a-f]{16}) (\S+) (\S+)$/;
const REPLY = /^(ok|again|want|note|done|error)(?: (.*))?$/;
/** For a board to begin; at a serial line, where nobody may be at the other end. */
const OPENING_MS = 5000;
const ROUNDS = 3;
/** Of base64 in a line. */
const HEAD_LINE = 49_152;
/** For what a board does at once, such as a self-test, without a word. */
const WORK_MS = 600_000;

/** Begins the update. `openings` are tried in turn. */
export async function begin(lines: BoardLines, openings: readonly string[]): Promise<Board> {
  const { quietMs, answerMs } = lines.pace;
  const tries = quietMs ? Array.from({ length: ROUNDS }, () => openings).flat() : openings;
  for (const opening of tries) {
    lines.send(opening);
    const board = await ready(lines, quietMs ? OPENING_MS : answerMs);
    if (board !== undefined) return board;
  }
  throw new LightMambaError("device", "no board answers that takes updates", {
    file: lines.name,
    hint: "it must be in `serve` or at its prompt, and nothing else may use the line",
  });
}

async function ready(lines: BoardLines, milliseconds: number): Promise<Board | undefined> {
  for (const end = performance.now() + milliseconds; performance.now() < end; ) {
    const line = (await lines.next(end - performance.now())) ?? "";
    const [, version, runtime, board, slot] = READY.exec(line) ?? [];
    if (version === undefined) {
      const [, refused] = /^error:? (.*)$/.exec(line) ?? [];
      // On a console that is the answer to whatever stood there before
      if (refused !== undefined && (!lines.pace.quietMs || !line.startsWith("error:"))) throw refusal(lines, refused);
      continue;
    }
    if (Number(version) === PROTOCOL) return { runtime: runtime!, board: board!, slot: slot! };
    const detail = { file: lines.name, expected: PROTOCOL, found: version };
    throw new LightMambaError("unsupported", "the board has another version of the protocol", detail);
  }
  return undefined;
}

function refusal({ name: file }: BoardLines, what: string): LightMambaError {
  return new LightMambaError("device", `the board refuses: ${what}`, { file });
}

/** Passes over what is no reply, as the kernel may write to the console. undefined: silence for so long. */
export async function reply(lines: BoardLines, milliseconds: number, onNote?: OnNote): Promise<Reply | undefined> {
  for (let end = performance.now() + milliseconds; performance.now() < end; ) {
    const line = await lines.next(end - performance.now());
    const [, kind, text = ""] = REPLY.exec(line ?? "") ?? [];
    if (kind === "error") throw refusal(lines, text);
    if (kind === "note") {
      onNote?.(text);
      end = performance.now() + milliseconds;
    } else if (kind !== undefined) return { kind: kind as Reply["kind"], text };
  }
  return undefined;
}

/** The reply to a line that is not sent twice. */
export async function ask(lines: BoardLines, line: string, wanted: Reply["kind"], onNote?: OnNote): Promise<string> {
  lines.send(line);
  const found = await reply(lines, WORK_MS, onNote);
  if (found?.kind === wanted) return found.text;
  const [word] = line.split(" ", 1);
  throw new LightMambaError("device", `no answer to ${word} that could be read`, {
    file: lines.name,
    expected: wanted,
    found: found === undefined ? `silence for ${WORK_MS / 1000} s` : `${found.kind} ${found.text}`,
  });
}

/** Header and manifest; the paths of the files that the board has not. */
export async function sendHead(lines: BoardLines, { bytes, manifest }: BundleHead, onNote: OnNote): Promise<string[]> {
  const text = bytes.toString("base64");
  let at = 0;
  for (; text.length - at > HEAD_LINE; at += HEAD_LINE)
    await ask(lines, `head+ ${text.slice(at, at + HEAD_LINE)}`, "ok");
  const wanted = (await ask(lines, `head ${text.slice(at)}`, "want", onNote)).split(" ").filter(Boolean);
  const unknown = wanted.find((path) => !manifest.files.some((file) => file.path === path));
  if (unknown === undefined) return wanted;
  throw new LightMambaError("device", "the board wants a file that is not in the bundle", {
    file: lines.name,
    found: unknown,
  });
}

export interface Done {
  kind: "model" | "system";
  /** Id of the model, or the slot. */
  name: string;
  text: string;
}

export async function install(lines: BoardLines, onNote: OnNote): Promise<Done> {
  const text = await ask(lines, "install", "done", onNote);
  const [, kind, name] = /^(model|system) (\w+)/.exec(text) ?? [];
  if (kind !== undefined) return { kind: kind as Done["kind"], name: name!, text };
  throw new LightMambaError("device", "the board did something else", { file: lines.name, found: text });
}
