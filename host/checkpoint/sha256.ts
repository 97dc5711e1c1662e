/** SHA-256 of files, piece by piece. */

import { createHash } from "node:crypto";
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
