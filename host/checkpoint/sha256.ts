/** SHA-256 of files, piece by piece; and what sha256sum wrote of them. */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { badInput } from "../errors.ts";
import { InputFile } from "./file.ts";

/** Of the first `bytes` bytes of the file, by default of all. In hex. */
export function fileSha256(path: string, bytes?: number): string {
  const file = InputFile.open(path);
  try {
    const hash = createHash("sha256");
    for (const piece of file.pieces(0, bytes ?? file.size)) hash.update(piece);
    return hash.digest("hex");
  } finally {
    file.close();
  }
}

/** The sum that `path` begins with; undefined where there is no such file. */
export function writtenSha256(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const sum = /^[0-9a-f]{64}/.exec(readFileSync(path, "utf8"))?.[0];
  if (sum === undefined) throw badInput("not a SHA-256", { file: path });
  return sum;
}
