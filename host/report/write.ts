/** A file that is there wholly or not at all. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { systemReason } from "../checkpoint/file.ts";
import { LightMambaError } from "../errors.ts";

export interface WholeFile {
  /** Once. */
  write(text: string): void;
  /** Where nothing was written, nothing stays. */
  close(): void;
}

/** Beside it, then renamed. Opened before the work, so that a folder without permission is found then. */
export function openWhole(file: string): WholeFile {
  const beside = `${file}.${process.pid}.new`;
  const attempt = <T>(action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw new LightMambaError("usage", `cannot be written: ${systemReason(error)}`, { file });
    }
  };
  const descriptor = attempt(() => openSync(beside, "wx"));
  return {
    write: (text) =>
      attempt(() => {
        writeFileSync(descriptor, text);
        fsyncSync(descriptor);
        renameSync(beside, file);
      }),
    close: () => {
      closeSync(descriptor);
      rmSync(beside, { force: true });
    },
  };
}
