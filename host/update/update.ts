/** Brings a bundle onto a running board. */
import { LightMambaError } from "../errors.ts";
import { type Connection, connect } from "./connect.ts";
import type { BundleManifest } from "./manifest.ts";
import { type Bundle, checkBundle, openBundle } from "./read.ts";
import { sendFile } from "./send.ts";
import { type Board, begin, type Done, install, type OnNote, sendHead } from "./session.ts";

/** What the board has, should the work end now. */
export type UpdateState = "unchanged" | "installing" | "done";

export interface UpdateOptions {
  to: string;
  baud: number;
  onBoard?: (board: Board, manifest: BundleManifest) => void;
  onNote?: OnNote;
  onState?: (state: UpdateState) => void;
  progress?: (phase: "check" | "send" | "install", done: number, total: number) => void;
  /** From a signal handler: hangs up. */
  onConnection?: (connection: Connection) => void;
}

export interface Updated {
  board: Board;
  /** Paths of the files that were sent. */
  sent: string[];
  bytesSent: number;
  /** Of them, what had to be sent a second time. */
  bytesAgain: number;
  done: Done;
}

export async function updateBoard(path: string, options: UpdateOptions): Promise<Updated> {
  const bundle = openBundle(path);
  try {
    await checkBundle(bundle, (done, total) => options.progress?.("check", done, total));
    const connection = await connect(options.to, options);
    options.onConnection?.(connection);
    try {
      return await talk(bundle, connection, options);
    } finally {
      await connection.close();
    }
  } finally {
    bundle.file.close();
  }
}

async function talk(bundle: Bundle, { lines, openings }: Connection, options: UpdateOptions): Promise<Updated> {
  const { onBoard, onNote = () => {}, onState, progress = () => {} } = options;
  const { manifest } = bundle.head;
  const board = await begin(lines, openings);
  try {
    assertFits(manifest, board, options.to);
    onBoard?.(board, manifest);
    const wanted = await sendHead(lines, bundle.head, onNote);
    const files = bundle.files.filter((file) => wanted.includes(file.path));
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    let [before, bytesSent, bytesAgain] = [0, 0, 0];
    for (const file of files) {
      const sent = await sendFile(lines, bundle, file, (at) => progress("send", before + at, total));
      before += file.bytes;
      bytesSent += sent.bytes;
      bytesAgain += sent.again;
    }
    onState?.("installing");
    progress("install", 0, 1);
    const done = await install(lines, onNote);
    onState?.("done");
    return { board, sent: wanted, bytesSent, bytesAgain, done };
  } finally {
    if (lines.open) lines.send("quit");
  }
}

/** What the board would refuse too, but later. */
function assertFits({ board, model, system }: BundleManifest, found: Board, file: string): void {
  if (board !== found.board)
    throw new LightMambaError("verification", "a bundle for another board", {
      file,
      expected: board,
      found: found.board,
    });
  if (system !== undefined || model === undefined || model.runtime === found.runtime) return;
  throw new LightMambaError("verification", "the model is for another runtime than the board's system", {
    file,
    expected: `runtime ${model.runtime}`,
    found: found.runtime,
    hint: "a bundle with the system for it, or the model prepared by the program that made the board's image",
  });
}
