/** Writes a safetensors file: the same tensors give the same bytes, and a failure leaves nothing behind. */

import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { LightMambaError } from "../errors.ts";
import { byteLength, type SafetensorsDtype } from "./dtype.ts";
import { printable, systemReason } from "./file.ts";

const PADDING_PREFIX = "__pad.";
/** writeSync takes at most 2 GiB at once. */
const LARGEST_WRITE = 2 ** 30;

export interface SafetensorsTensor {
  name: string;
  dtype: SafetensorsDtype;
  shape: readonly number[];
  /** Little-endian bytes; a function is called once, when the tensor's turn to be written comes. */
  data: Uint8Array | (() => Uint8Array);
  /** Start on a multiple of this instead of the file's `align`. */
  align?: number;
}

export interface WriteOptions {
  metadata?: Record<string, string>;
  /** Every tensor but padding starts on a multiple of this in the file, say 4096 so that it can be mapped. */
  align?: number;
}

/** Whether a tensor only fills the space before an aligned one. The format allows no holes, so padding has a name. */
export function isPadding(name: string): boolean {
  return name.startsWith(PADDING_PREFIX);
}

/** Writes the tensors in the order given. */
export function writeSafetensors(path: string, tensors: Iterable<SafetensorsTensor>, options: WriteOptions = {}): void {
  const all = [...tensors];
  const align = options.align ?? 1;
  const aligns = [align, ...all.map((tensor) => tensor.align ?? align)];
  const wrong = aligns.find((value) => !Number.isSafeInteger(value) || value < 1);
  if (wrong !== undefined) throw misuse(path, "align", `a multiple to align to, not ${wrong}`);
  const ordered = withPadding(path, all, align);
  const header = encodeHeader(ordered, options.metadata, Math.max(...aligns));
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    writeDurably(temporary, header, ordered, path);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw asWriteError(path, error);
  }
  syncDirectory(dirname(path));
}

function withPadding(path: string, tensors: SafetensorsTensor[], align: number): SafetensorsTensor[] {
  const names = new Set<string>();
  const ordered: SafetensorsTensor[] = [];
  let end = 0;
  let paddings = 0;
  for (const tensor of tensors) {
    if (names.has(tensor.name)) throw misuse(path, tensor.name, "the name is given twice");
    if (isPadding(tensor.name) || tensor.name === "__metadata__")
      throw misuse(path, tensor.name, "the name is reserved");
    names.add(tensor.name);
    const step = tensor.align ?? align;
    const gap = (step - (end % step)) % step;
    if (gap > 0) {
      ordered.push({
        name: `${PADDING_PREFIX}${paddings++}`,
        dtype: "U8",
        shape: [gap],
        data: () => new Uint8Array(gap),
      });
    }
    ordered.push(tensor);
    end += gap + byteLength(tensor.dtype, tensor.shape);
  }
  return ordered;
}

/** Length and header, filled up with spaces so that the tensors start on a multiple of `align` (at least of 8). */
function encodeHeader(
  tensors: SafetensorsTensor[],
  metadata: Record<string, string> | undefined,
  align: number,
): Uint8Array {
  const entries: [string, unknown][] = metadata ? [["__metadata__", metadata]] : [];
  let begin = 0;
  for (const { name, dtype, shape } of tensors) {
    const end = begin + byteLength(dtype, shape);
    entries.push([name, { dtype, shape, data_offsets: [begin, end] }]);
    begin = end;
  }
  // Written entry by entry: an object would move names such as "0" to the front.
  const text = entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(",");
  const json = new TextEncoder().encode(`{${text}}`);
  const step = align % 8 === 0 ? align : align * 8;
  const bytes = new Uint8Array(Math.ceil((8 + json.length) / step) * step).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(json, 8);
  return bytes;
}

function writeDurably(temporary: string, header: Uint8Array, tensors: SafetensorsTensor[], path: string): void {
  const descriptor = openSync(temporary, "wx");
  try {
    writeAll(descriptor, header);
    for (const { name, dtype, shape, data } of tensors) {
      const bytes = typeof data === "function" ? data() : data;
      if (bytes.length !== byteLength(dtype, shape)) {
        throw misuse(path, name, `${bytes.length} bytes given for ${dtype} [${shape}]`);
      }
      writeAll(descriptor, bytes);
    }
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) {
    done += writeSync(descriptor, bytes, done, Math.min(bytes.length - done, LARGEST_WRITE));
  }
}

/** Makes the new name durable. Not every system can sync a directory, and the file itself is safe by now. */
function syncDirectory(path: string): void {
  try {
    const descriptor = openSync(path, "r");
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch {}
}

function asWriteError(path: string, error: unknown): unknown {
  const isSystemError = typeof (error as NodeJS.ErrnoException).syscall === "string";
  return isSystemError
    ? new LightMambaError("usage", `cannot be written: ${systemReason(error)}`, { file: path })
    : error;
}

/** A caller's mistake, not the user's. */
function misuse(file: string, name: string, what: string): LightMambaError {
  return new LightMambaError("bug", what, { file, field: printable(name) });
}
