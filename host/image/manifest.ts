/** What is in an image: components with versions and licences, and every file with its hash. Beside the image, as .manifest.json. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileSha256 } from "../checkpoint/sha256.ts";
import { badInput } from "../errors.ts";
import type { Component } from "./components.ts";

/** `path` begins with the partition: boot:Image.gz, root:usr/bin/lightmamba, data:model/setup.json. */
export interface FileHash {
  path: string;
  bytes: number;
  sha256: string;
}

export interface Manifest {
  format: "lightmamba-image";
  version: 1;
  generator: string;
  board: string;
  components: Component[];
  files: FileHash[];
}

/** Plain files of a folder and below, by path. */
export function hashesBelow(folder: string): FileHash[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .sort()
    .filter((path) => lstatSync(join(folder, path)).isFile())
    .map((path) => ({ path, bytes: lstatSync(join(folder, path)).size, sha256: fileSha256(join(folder, path)) }));
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

export function readManifest(path: string): Manifest {
  let value: Partial<Manifest>;
  try {
    value = JSON.parse(readFileSync(path, "utf8")) as Partial<Manifest>;
  } catch (error) {
    throw badInput(`the image's manifest cannot be read: ${(error as Error).message}`, { file: path });
  }
  const plain = (text: unknown) => typeof text === "string" && text !== "";
  const files = Array.isArray(value.files) ? value.files : [];
  const good = files.every(
    ({ path, bytes, sha256 }) =>
      plain(path) && Number.isSafeInteger(bytes) && bytes >= 0 && /^[0-9a-f]{64}$/.test(sha256),
  );
  if (value.format === "lightmamba-image" && value.version === 1 && plain(value.board) && files.length > 0 && good)
    return value as Manifest;
  throw badInput("not a manifest of this version", { file: path, expected: "lightmamba-image, version 1" });
}
