/** Checks an image: its structure, its file systems, every file against the manifest, and that its model is whole. */
import { existsSync, readFileSync } from "node:fs";
import { fileSha256, writtenSha256 } from "../checkpoint/sha256.ts";
import { type ErrorDetail, LightMambaError } from "../errors.ts";
import type { ImageBoard } from "./build.ts";
import type { StepOptions } from "./components.ts";
import { LABELS, type Partition, readFileSystem, readPartitions } from "./layout.ts";
import { type FileHash, MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { checkModelFiles, isPointer, modelsOf } from "./models.ts";
import { withFiles } from "./read.ts";

export interface VerifyOptions extends StepOptions {
  board?: ImageBoard;
}

/** Where the board writes: models and pointers change with updates, and say themselves whether they are whole. */
const DATA = "data:";
const OF_THE_BOARD = [DATA, "system-b:"];

/** What was checked, a line each; throws at the first thing that does not hold. */
export async function verifyImage(image: string, { board, signal }: VerifyOptions = {}): Promise<string[]> {
  const partitions = readPartitions(image);
  const done = [
    `partitions: ${partitions.map((partition) => checkPartition(image, partition)).join(", ")}`,
    ...checkHash(image),
  ];
  const check = (files: FileHash[], read: (path: string) => string | undefined) => {
    const text = read(`boot:${MANIFEST}`);
    if (text === undefined) throw fault(image, "the image has no manifest", { field: `boot:${MANIFEST}` });
    const manifest = parseManifest(text, { file: image, field: `boot:${MANIFEST}` });
    checkBoard(image, manifest, board);
    return [
      ...done,
      ...checkBeside(image, text),
      checkFiles(image, manifest, files),
      ...checkModels(image, manifest, files, read),
    ];
  };
  return withFiles(image, partitions, check, signal);
}

function fault(image: string, what: string, detail: ErrorDetail): LightMambaError {
  return new LightMambaError("verification", what, { file: image, ...detail });
}

function checkPartition(image: string, partition: Partition): string {
  const { name: field, size } = partition;
  const system = readFileSystem(image, partition);
  const mib = `${field} ${(size / 2 ** 20).toFixed(0)} MiB`;
  if (system === undefined && field === "system-b") return `${mib} empty`;
  if (system === undefined) throw fault(image, "holds no file system that belongs there", { field });
  const expected = field === "boot" || field === "data" ? LABELS[field] : undefined;
  if (expected !== undefined && system.label !== expected)
    throw fault(image, "wrong label", { field, expected, found: system.label || "none" });
  return `${mib} ${system.kind}`;
}

/** Of the whole image, where its hash is beside it. */
function checkHash(image: string): string[] {
  const expected = writtenSha256(`${image}.sha256`);
  if (expected === undefined) return [];
  const found = fileSha256(image);
  if (found !== expected) throw fault(image, "the image has changed", { expected, found });
  return [`sha256: ${found}`];
}

export function checkBoard(image: string, manifest: Manifest, board: string | undefined): void {
  if (board === undefined || manifest.board === board) return;
  throw fault(image, "an image for another board", { expected: board, found: manifest.board });
}

/** Licences are read there, so it must be of this image. */
function checkBeside(image: string, text: string): string[] {
  const path = `${image}.manifest.json`;
  if (!existsSync(path)) return [];
  if (readFileSync(path, "utf8") === text) return ["manifest beside it: the same as in it"];
  throw fault(path, "the manifest of another image", {});
}

function checkFiles(image: string, manifest: Manifest, files: readonly FileHash[]): string {
  const isFixed = ({ path }: FileHash) => !OF_THE_BOARD.some((place) => path.startsWith(place));
  const found = new Map(files.filter(isFixed).map((file) => [file.path, file]));
  const written = manifest.files.filter(isFixed);
  for (const { path, sha256, link } of written) {
    const file = found.get(path);
    if (file === undefined) throw fault(image, "is missing in the image", { field: path });
    if (file.sha256 !== sha256 || file.link !== link)
      throw fault(image, "has changed", { field: path, expected: sha256, found: file.sha256 });
    found.delete(path);
  }
  const more = [...found.keys()].find((path) => path !== `boot:${MANIFEST}`);
  if (more !== undefined) throw fault(image, "is not in the manifest", { field: more });
  return `files: ${written.length} as they were written, of ${manifest.components.length} components`;
}

function checkModels(
  image: string,
  manifest: Manifest,
  files: readonly FileHash[],
  read: (path: string) => string | undefined,
): string[] {
  const models = modelsOf(image, files, read);
  if (models.length === 0 && manifest.files.some(isPointer))
    throw fault(image, "the image was built with a model, and has none", { field: `${DATA}current` });
  for (const { id, board: found } of models) {
    checkModelFiles(image, id, files);
    const expected = manifest.board;
    if (found !== expected)
      throw fault(image, "a model for another board", { field: `${DATA}models/${id}`, expected, found });
  }
  if (models.length === 0) return ["model: none"];
  return models.map(
    ({ id, generator, board, runtime, candidate }) =>
      `model: ${id}, ${generator}, for ${board}, runtime ${runtime}${candidate ? ", not yet confirmed" : ""}`,
  );
}
