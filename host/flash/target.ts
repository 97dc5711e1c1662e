/** A drive that is open for this program alone, and is still the one that was chosen. */
import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { LightMambaError } from "../errors.ts";
import { assertWritable } from "./choose.ts";
import type { Drive, ListDrives } from "./drives.ts";

/** What is written to; tests put files and faults behind it. */
export interface Target {
  path: string;
  bytes: number;
  /** Bytes that were taken, which may be fewer than given. */
  write(data: Uint8Array, at: number): Promise<number>;
  /** Of the drive, not of the system's memory. `into`: `alignedBuffer`; `at`: a multiple of its sectors. */
  read(into: Uint8Array, at: number): Promise<number>;
  /** Returns when the drive has it all. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const SECTOR = 512;
const WASM_PAGE = 65_536;

/** Reading past the system's memory needs memory that begins with a page, which Node's buffers do not. */
export function alignedBuffer(bytes: number): Uint8Array {
  const { buffer } = new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE) });
  return new Uint8Array(buffer, 0, bytes);
}

/** Linux: exclusive means that nothing of the drive is mounted, nor can be while it is open. */
export async function openDrive(drive: Drive, list: ListDrives): Promise<Target> {
  const writer = await openAs(drive, constants.O_RDWR | constants.O_EXCL);
  try {
    await assertSame(drive, writer, list);
    return await targetOf(drive, writer);
  } catch (error) {
    await writer.close();
    throw error;
  }
}

const OPEN_FAULTS: Record<string, [what: string, hint?: string]> = {
  EBUSY: ["is in use by another program", "unmount what is on it, and end what reads it"],
  EACCES: ["no permission to write to it", "sudo, or as a member of the group disk"],
  EPERM: ["no permission to write to it", "sudo, or as a member of the group disk"],
  EROFS: ["is write-protected", "the switch on the card's side"],
  ENOMEDIUM: ["has no card in it"],
  ENOENT: ["is not there any more"],
  ENXIO: ["is not there any more"],
};

async function openAs({ path }: Drive, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    throw openFault(path, error);
  }
}

export function openFault(path: string, error: unknown): LightMambaError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const [what, hint] = OPEN_FAULTS[code] ?? [`cannot be opened: ${message}`];
  return new LightMambaError("device", what, { file: path, ...(hint === undefined ? {} : { hint }) });
}

/** Between the list and the opening, somebody may have put another drive into the same place. */
async function assertSame(drive: Drive, handle: FileHandle, list: ListDrives): Promise<void> {
  const { path } = drive;
  const now = (await list()).find((one) => one.path === path);
  if (now === undefined) throw new LightMambaError("device", "is not there any more", { file: path });
  assertWritable(now);
  for (const field of ["number", "bytes", "model", "serial"] as const) {
    if (now[field] === drive[field]) continue;
    const [expected, found] = [drive[field], now[field]];
    throw new LightMambaError("device", "is another drive than a moment ago", { file: path, field, expected, found });
  }
  const found = deviceNumber(await handle.stat({ bigint: true }));
  if (found !== drive.number)
    throw new LightMambaError("device", "is not what was opened", { file: path, expected: drive.number, found });
}

/** Major and minor, as in Linux's and the C library's makedev. */
export function deviceNumber(stats: BigIntStats): string {
  if (!stats.isBlockDevice()) return "no drive";
  const device = stats.rdev;
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

async function targetOf(drive: Drive, writer: FileHandle): Promise<Target> {
  const { path, bytes } = drive;
  const reader = await openAs(drive, constants.O_RDONLY | constants.O_DIRECT);
  try {
    const found = deviceNumber(await reader.stat({ bigint: true }));
    if (found !== drive.number)
      throw new LightMambaError("device", "is not what was opened", { file: path, expected: drive.number, found });
    const last = alignedBuffer(SECTOR);
    if ((await writer.read(last, 0, SECTOR, bytes - SECTOR)).bytesRead !== SECTOR)
      throw new LightMambaError("device", "is smaller than it says", { file: path, expected: bytes });
  } catch (error) {
    await reader.close();
    throw error;
  }
  return {
    path,
    bytes,
    write: async (data, at) => (await writer.write(data, 0, data.length, at)).bytesWritten,
    read: async (into, at) => (await reader.read(into, 0, into.length, at)).bytesRead,
    sync: () => writer.datasync(),
    close: async () => {
      await reader.close();
      await writer.close();
    },
  };
}
