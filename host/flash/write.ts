/**
 * Writes an image, and reads it back. The block with the partition table comes last, when all the rest has been compared, and before anything
 * else it is wiped: a card that was left in the middle has no table, and neither boots nor is taken for one of ours.
 */
import { createHash } from "node:crypto";
import { LightMambaError } from "../errors.ts";
import { BLOCK, type Extent } from "../image/bmap.ts";
import type { CheckedImage } from "./check.ts";
import { imagePieces, PIECE, partsWithin } from "./source.ts";
import { alignedBuffer, type Target } from "./target.ts";

export type Phase = "write" | "verify";

/** What the card is at the moment, should the work end here. */
export type CardState = "incomplete" | "unverified" | "complete";

export interface WriteOptions {
  verify: boolean;
  progress?: (phase: Phase, done: number, total: number) => void;
  onState?: (state: CardState) => void;
}

export interface Written {
  bytesWritten: number;
  bytesVerified: number;
}

/** The system gathers what is written; so many bytes at most, that progress is the drive's. */
const SYNC_BYTES = 16 * PIECE;

interface WrittenPart extends Extent {
  sha256: string;
}

export async function writeImage(target: Target, image: CheckedImage, options: WriteOptions): Promise<Written> {
  const { verify, progress = () => {}, onState = () => {} } = options;
  onState("incomplete");
  await writeAll(target, Buffer.alloc(BLOCK), 0);
  await sync(target);
  const { head, parts } = await writeBody(target, image, (done, total) => progress("write", done, total));
  if (verify) await compare(target, parts, (done, total) => progress("verify", done, total));
  onState("unverified");
  await writeAll(target, head, 0);
  await sync(target);
  if (verify) await compare(target, [partOf(head, 0)]);
  onState("complete");
  const bytesWritten = head.length + sum(parts);
  return { bytesWritten, bytesVerified: verify ? bytesWritten : 0 };
}

function sum(extents: readonly Extent[]): number {
  return extents.reduce((all, { bytes }) => all + bytes, 0);
}

function partOf(data: Buffer, offset: number): WrittenPart {
  return { offset, bytes: data.length, sha256: createHash("sha256").update(data).digest("hex") };
}

/** All but the first block, which is returned. */
async function writeBody(
  target: Target,
  { path, packing, extents, sha256 }: CheckedImage,
  progress: (done: number, total: number) => void,
) {
  const body = withoutHead(extents);
  const total = sum(body);
  const whole = createHash("sha256");
  const parts: WrittenPart[] = [];
  let [at, done, unsynced] = [0, 0, 0];
  let head = Buffer.alloc(0);
  for await (const { data } of imagePieces(path, packing)) {
    if (at === 0) head = Buffer.from(data.subarray(0, BLOCK));
    whole.update(data);
    for (const part of partsWithin(data, at, body)) {
      await writeAll(target, part.data, part.at);
      parts.push(partOf(part.data, part.at));
      done += part.data.length;
      unsynced += part.data.length;
    }
    at += data.length;
    if (unsynced >= SYNC_BYTES) {
      await sync(target);
      unsynced = 0;
    }
    progress(done, total);
  }
  await sync(target);
  const found = whole.digest("hex");
  if (found !== sha256)
    throw new LightMambaError("verification", "the image changed while it was written", {
      file: path,
      expected: `sha256 ${sha256}`,
      found,
    });
  return { head, parts };
}

function withoutHead(extents: readonly Extent[]): Extent[] {
  return extents
    .map(({ offset, bytes }) => {
      const from = Math.max(offset, BLOCK);
      return { offset: from, bytes: offset + bytes - from };
    })
    .filter(({ bytes }) => bytes > 0);
}

async function writeAll(target: Target, data: Buffer, at: number): Promise<void> {
  for (let from = 0; from < data.length; ) {
    const count = await onDrive(target, "write", at + from, () => target.write(data.subarray(from), at + from));
    if (count <= 0) throw driveFault(target, "takes no more", at + from);
    from += count;
  }
}

function sync(target: Target): Promise<void> {
  return onDrive(target, "write", undefined, () => target.sync());
}

async function compare(
  target: Target,
  parts: readonly WrittenPart[],
  progress: (done: number, total: number) => void = () => {},
): Promise<void> {
  const buffer = alignedBuffer(PIECE);
  const total = sum(parts);
  let done = 0;
  for (const { offset, bytes, sha256 } of parts) {
    // Whole blocks: the drive is not read in smaller parts
    const into = buffer.subarray(0, Math.min(Math.ceil(bytes / BLOCK) * BLOCK, target.bytes - offset));
    const count = await readAll(target, into, offset);
    const found = createHash("sha256").update(into.subarray(0, bytes)).digest("hex");
    if (count < bytes || found !== sha256)
      throw new LightMambaError("verification", "does not hold what was written to it", {
        file: target.path,
        field: `bytes ${offset}-${offset + bytes - 1}`,
        hint: "the card is worn or not what it claims to be: take another one",
      });
    done += bytes;
    progress(done, total);
  }
}

async function readAll(target: Target, into: Uint8Array, at: number): Promise<number> {
  let filled = 0;
  for (let count = 1; count > 0 && filled < into.length; filled += count)
    count = await onDrive(target, "read", at + filled, () => target.read(into.subarray(filled), at + filled));
  return filled;
}

async function onDrive<T>(
  target: Target,
  what: "read" | "write",
  at: number | undefined,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw driveFault(
      target,
      code === "ENOSPC" ? "ends here" : `cannot be ${what === "read" ? "read" : "written"}: ${message}`,
      at,
    );
  }
}

function driveFault({ path, bytes }: Target, what: string, at: number | undefined): LightMambaError {
  return new LightMambaError("device", what, {
    file: path,
    ...(at === undefined ? {} : { field: `byte ${at} of ${bytes}` }),
  });
}
