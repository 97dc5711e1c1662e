/** Puts a model into a mounted data partition: beside the others, synced, read back; a pointer to it comes last. docs/update.md. */
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { type BoardModel, MODEL_PARTS, modelFolder, modelId, pointedId, pointerOf, pointerTo } from "../board/data.ts";
import { InputFile } from "../checkpoint/file.ts";
import { badInput, LightMambaError } from "../errors.ts";
import { PIECE } from "./source.ts";
import { alignedBuffer } from "./target.ts";

export type ModelPhase = "write" | "verify" | "switch";

export interface PutOptions {
  /** Waited for whenever nothing is open: signals come through there. */
  pause: (phase: ModelPhase, done: number, total: number) => Promise<unknown>;
}

export interface PutModel {
  /** The model that this runtime has had until now. */
  before: string | undefined;
  /** No candidate: it is the model already. */
  already: boolean;
  bytesWritten: number;
  bytesVerified: number;
}

/** Not yet whole. */
const PART = ".part";
/** Whole, and not yet tested. */
const NEXT = ".next";
/** For folders, pointers and what the file system needs. */
const SPARE = 2 ** 20;

export async function putModel(data: string, model: BoardModel, { pause }: PutOptions): Promise<PutModel> {
  for (const name of ["models", "current"]) assertFolder(data, name);
  sweep(data);
  const [pointer, folder] = [pointerOf(model.runtime), join(data, modelFolder(model.id))];
  const before = pointedAt(join(data, pointer));
  const total = model.bytes;
  let bytesWritten = 0;
  const whole = await isWhole(folder, model.id, (done) => pause("verify", done, total));
  if (!whole) {
    assertRoom(data, total);
    bytesWritten = await write(model.folder, folder, model.id, total, pause);
  }
  await pause("switch", 0, 1);
  const already = before === model.id;
  if (already) rmSync(join(data, pointer + NEXT), { force: true });
  else point(data, pointer + NEXT, model.id);
  syncFolder(join(data, "current"));
  return { before, already, bytesWritten, bytesVerified: total };
}

/** A card may hold anything, also links that lead out of it. */
function assertFolder(data: string, name: string): void {
  const path = join(data, name);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return;
  const detail = { field: name, expected: "a folder", found: found === undefined ? "nothing" : "something else" };
  throw badInput("not the data partition of this version's cards", { ...detail, hint: "write the whole image" });
}

/** Models to which no pointer leads, and what was left half-written, as the board does it too. */
function sweep(data: string): void {
  const current = join(data, "current");
  const used = new Set(readdirSync(current).map((name) => pointedAt(join(current, name))));
  for (const name of readdirSync(join(data, "models")))
    if (!used.has(name)) rmSync(join(data, "models", name), { recursive: true, force: true });
}

function pointedAt(path: string): string | undefined {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
  return pointedId(readlinkSync(path));
}

function assertRoom(data: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(data);
  const [expected, found] = [bytes + SPARE, bavail * bsize];
  if (found >= expected) return;
  throw new LightMambaError("device", "no room for the model on the card", {
    field: "data partition",
    expected: `${expected} bytes`,
    found,
    hint: "the model that is there stays until the new one has passed its test: remove saved states, or write the whole image",
  });
}

/** Beside, and then to its place. */
async function write(
  from: string,
  folder: string,
  id: string,
  total: number,
  pause: PutOptions["pause"],
): Promise<number> {
  const part = folder + PART;
  const remove = () => rmSync(part, { recursive: true, force: true });
  // Before it is unmounted
  process.prependListener("exit", remove);
  try {
    mkdirSync(part);
    chmodSync(part, 0o755);
    let done = 0;
    for (const name of MODEL_PARTS)
      for await (const bytes of copyPieces(join(from, name), join(part, name))) {
        done += bytes;
        await pause("write", done, total);
      }
    syncFolder(part);
    if (!(await isWhole(part, id, (count) => pause("verify", count, total))))
      throw new LightMambaError("verification", "the card does not hold what was written to it", {
        hint: "the card is worn or not what it claims to be: take another one",
      });
    // One with this name that is not whole
    rmSync(folder, { recursive: true, force: true });
    renameSync(part, folder);
    syncFolder(join(folder, ".."));
    return done;
  } finally {
    process.off("exit", remove);
    remove();
  }
}

/** In pieces that the card has when they are counted. */
async function* copyPieces(from: string, to: string): AsyncGenerator<number> {
  const file = InputFile.open(from);
  try {
    for (let at = 0; at < file.size || at === 0; at += PIECE) {
      const piece = file.read(at, Math.min(PIECE, file.size - at));
      appendFileSync(to, piece, { mode: 0o644, flush: true });
      yield piece.length;
    }
    chmodSync(to, 0o644);
  } finally {
    file.close();
  }
}

/** Whether a folder holds the model with this id: its files are read past the system's memory. */
async function isWhole(folder: string, id: string, pause: (done: number) => Promise<unknown>): Promise<boolean> {
  const hashes: string[] = [];
  let done = 0;
  for (const name of MODEL_PARTS) {
    const path = join(folder, name);
    if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return false;
    const hash = createHash("sha256");
    for (let at = 0, count = PIECE; count === PIECE; at += count) {
      const piece = readPiece(path, at);
      count = piece.length;
      hash.update(piece);
      done += count;
      await pause(done);
    }
    hashes.push(hash.digest("hex"));
  }
  return modelId(hashes) === id;
}

const buffer = alignedBuffer(PIECE);

function readPiece(path: string, at: number): Uint8Array {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECT | constants.O_NOFOLLOW);
  try {
    return buffer.subarray(0, readSync(fd, buffer, 0, PIECE, at));
  } finally {
    closeSync(fd);
  }
}

/** At once, or not at all. */
function point(data: string, pointer: string, id: string): void {
  // What a loss of power leaves here, the board removes
  const beside = join(data, `${pointer}.${process.pid}.tmp`);
  symlinkSync(pointerTo(id), beside);
  renameSync(beside, join(data, pointer));
}

function syncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
