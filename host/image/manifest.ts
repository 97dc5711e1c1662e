/** What is in an image: components with versions and licences, and every file with its hash. In the boot partition, and beside the image. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { fileSha256 } from "../checkpoint/sha256.ts";
import { badInput } from "../errors.ts";
import type { Component } from "./components.ts";

/** Its name in the boot partition; of all files it alone is not in its list. */
export const MANIFEST = "manifest.json";

/** `path` begins with the partition: boot:boot.scr, system-a:usr/bin/lightmamba, data:model/setup.json. */
export interface FileHash {
  path: string;
  bytes: number;
  sha256: string;
  /** Where a symbolic link leads; then the hash is that of this text. */
  link?: string;
}

export interface Manifest {
  format: "lightmamba-image";
  version: 1;
  generator: string;
  board: string;
  components: Component[];
  files: FileHash[];
}

/** Files of a folder and below, by name. Nobody goes where a link leads. */
export function hashesBelow(folder: string, prefix = ""): FileHash[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const [path, file] = [`${prefix}${entry.name}`, join(folder, entry.name)];
    if (entry.isDirectory()) return hashesBelow(file, `${path}/`);
    if (entry.isSymbolicLink()) return [{ path, ...linkTo(readlinkSync(file)) }];
    return entry.isFile() ? [{ path, bytes: lstatSync(file).size, sha256: fileSha256(file) }] : [];
  });
}

function linkTo(link: string): Omit<FileHash, "path"> {
  return { bytes: Buffer.byteLength(link), sha256: createHash("sha256").update(link).digest("hex"), link };
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

/** `file` and `field` say where the text comes from. */
export function parseManifest(text: string, where: { file: string; field?: string }): Manifest {
  let value: Partial<Manifest> | null;
  try {
    value = JSON.parse(text) as Partial<Manifest> | null;
  } catch (error) {
    throw badInput(`the manifest cannot be read: ${(error as Error).message}`, where);
  }
  if (isManifest(value)) return value;
  throw badInput("not a manifest of this version", { ...where, expected: "lightmamba-image, version 1" });
}

function isManifest(value: Partial<Manifest> | null): value is Manifest {
  const texts = (entry: object | null, names: string[]) =>
    names.every((name) => typeof (entry as Record<string, unknown> | null)?.[name] === "string");
  return (
    value?.format === "lightmamba-image" &&
    value.version === 1 &&
    texts(value, ["generator", "board"]) &&
    Array.isArray(value.components) &&
    value.components.every((one) => texts(one, ["name", "version", "licence", "source", "sha256"])) &&
    Array.isArray(value.files) &&
    value.files.every((one) => texts(one, ["path", "sha256"]) && Number.isSafeInteger(one.bytes))
  );
}
