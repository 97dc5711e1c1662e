/** Makes bundles: a system, a model, or both, signed. Written beside, synced and renamed: half a bundle is never there. */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { type BoardModel, prepareById } from "../board/data.ts";
import { InputFile, systemReason } from "../checkpoint/file.ts";
import { LightMambaError } from "../errors.ts";
import { checkOutput, withScratch } from "../image/scratch.ts";
import { aligned, makeHead } from "./header.ts";
import type { SigningKey } from "./keys.ts";
import { BUNDLE_BOARDS, type BundleFile, type BundleManifest, SYSTEM_FILE } from "./manifest.ts";
import { type ImageSystem, systemOfImage } from "./system.ts";

export interface BundleOptions {
  /** Default: that of the system. */
  board?: BundleManifest["board"];
  title?: string;
  /** An image of `image build`. */
  system?: string;
  /** A model directory. */
  model?: string;
  key: SigningKey;
  signal?: AbortSignal;
  progress?: (done: number, total: number) => void;
}

export interface MadeBundle {
  bundle: string;
  bytes: number;
  manifest: BundleManifest;
}

/** A file of the bundle, and where its bytes are now. */
interface Source extends BundleFile {
  from: string;
  offset: number;
}

export async function createBundle(output: string, options: BundleOptions): Promise<MadeBundle> {
  checkOutput(output);
  const { system: image, model: dir, signal } = options;
  const system = image === undefined ? undefined : await systemOfImage(image, signal);
  const board = boardOf(options, system);
  return withScratch(
    async (stage) => {
      const model = dir === undefined ? undefined : prepareById(dir, stage, { board });
      if (system !== undefined && model !== undefined) assertSameRuntime(image!, system, dir!, model);
      const sources = [
        ...(system === undefined ? [] : [await systemSource(image!, system)]),
        ...(model === undefined ? [] : modelSources(model)),
      ];
      const manifest = describe(board, options.title, system, model, sources);
      const made = join(stage, "bundle");
      await writeBundle(made, makeHead(manifest, options.key.id, options.key.sign), sources, options.progress);
      renameSync(made, output);
      return { bundle: output, bytes: statSync(output).size, manifest };
    },
    `${resolve(output)}.`,
  );
}

function boardOf({ board, system: image, model }: BundleOptions, system: ImageSystem | undefined) {
  if (system === undefined && model === undefined)
    throw new LightMambaError("usage", "nothing to put into a bundle", { field: "--system, --model" });
  const wanted = board ?? BUNDLE_BOARDS.find((one) => one === system?.board);
  if (wanted === undefined)
    throw new LightMambaError("usage", "for which board the model is, must be said", { field: "--board" });
  if (system === undefined || system.board === wanted) return wanted;
  const detail = { file: image!, expected: wanted, found: system.board };
  throw new LightMambaError("verification", "an image for another board", detail);
}

function assertSameRuntime(image: string, system: ImageSystem, dir: string, model: BoardModel): void {
  if (system.runtime === model.runtime) return;
  throw new LightMambaError(
    "verification",
    "the system has another runtime than this program, which prepares the model",
    {
      file: image,
      expected: `${model.runtime} for ${dir}`,
      found: system.runtime,
      hint: "build the image anew",
    },
  );
}

// ------------------------------------------------------------------------------------------------ its parts

function describe(
  board: BundleManifest["board"],
  title: string | undefined,
  system: ImageSystem | undefined,
  model: BoardModel | undefined,
  sources: readonly Source[],
): BundleManifest {
  const parts = [system && `system ${system.version}`, model && `model ${model.id}`].filter(Boolean);
  return {
    format: "lightmamba-bundle",
    version: 1,
    board,
    title: title ?? parts.join(", "),
    ...(system && { system: { version: system.version, runtime: system.runtime, file: SYSTEM_FILE } }),
    ...(model && { model: { id: model.id, runtime: model.runtime } }),
    files: sources.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 })),
  };
}

async function systemSource(from: string, { offset, bytes }: ImageSystem): Promise<Source> {
  const hash = createHash("sha256");
  await eachPiece(from, offset, bytes, (piece) => void hash.update(piece));
  return { path: SYSTEM_FILE, bytes, sha256: hash.digest("hex"), from, offset };
}

function modelSources({ folder, files }: BoardModel): Source[] {
  return files.map(({ name, bytes, sha256 }) => ({
    ...{ path: `model/${name}`, bytes, sha256 },
    ...{ from: join(folder, name), offset: 0 },
  }));
}

async function eachPiece(from: string, offset: number, bytes: number, action: (piece: Uint8Array) => void) {
  const file = InputFile.open(from);
  try {
    for (const piece of file.pieces(offset, offset + bytes)) {
      action(piece);
      // Ctrl-C comes through
      await setImmediate();
    }
  } finally {
    file.close();
  }
}

// ------------------------------------------------------------------------------------------------ writing

async function writeBundle(
  path: string,
  head: Buffer,
  sources: readonly Source[],
  progress: (done: number, total: number) => void = () => {},
): Promise<void> {
  const total = sources.reduce((sum, { bytes }) => sum + bytes, 0);
  const fd = openSync(path, "wx");
  let done = 0;
  try {
    write(fd, path, padded(head, head.length));
    for (const source of sources) {
      const hash = createHash("sha256");
      await eachPiece(source.from, source.offset, source.bytes, (piece) => {
        hash.update(piece);
        done += piece.length;
        write(fd, path, piece);
        progress(done, total);
      });
      assertUnchanged(source, hash.digest("hex"));
      write(fd, path, padded(Buffer.alloc(0), source.bytes));
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function assertUnchanged({ from, sha256 }: Source, found: string): void {
  if (found === sha256) return;
  const detail = { file: from, expected: `sha256 ${sha256}`, found };
  throw new LightMambaError("verification", "the file changed while it was copied", detail);
}

/** With zeros to where the next file begins, of `bytes` that are there by then. */
function padded(data: Buffer, bytes: number): Buffer {
  return Buffer.concat([data, Buffer.alloc(aligned(bytes) - bytes)], data.length + aligned(bytes) - bytes);
}

function write(fd: number, file: string, data: Uint8Array): void {
  try {
    for (let from = 0; from < data.length; ) from += writeSync(fd, data, from);
  } catch (error) {
    throw new LightMambaError("prerequisite", `cannot be written: ${systemReason(error)}`, { file: dirname(file) });
  }
}
