/** Folders for what is under way, and the files that come of it. */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { LightMambaError } from "../errors.ts";

const TEMPORARY = join(tmpdir(), "lightmamba-");
const TRIES = 100;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** A folder that is gone when `action` has ended, or this process. */
export async function withScratch<T>(action: (folder: string) => Promise<T>, prefix = TEMPORARY): Promise<T> {
  const folder = mkdtempSync(prefix);
  const remove = () => removeFolder(folder);
  process.on("exit", remove);
  try {
    return await action(folder);
  } finally {
    process.off("exit", remove);
    remove();
  }
}

/** Of a file to write: its folder is there, and nothing but a file has its name. `instead`: what else could be done. */
export function checkOutput(output: string, instead = ""): void {
  const folder = dirname(resolve(output));
  if (!existsSync(folder)) throw new LightMambaError("usage", "no such folder", { file: folder });
  if (existsSync(output) && !statSync(output).isFile())
    throw new LightMambaError("usage", `is there, and no file${instead}`, { file: output });
}

/** Programs that are being ended may still write there. */
function removeFolder(folder: string): void {
  for (let i = 1; ; i++) {
    try {
      rmSync(folder, { recursive: true, force: true });
      return;
    } catch (error) {
      if (i === TRIES) throw error;
      Atomics.wait(sleeper, 0, 0, 10);
    }
  }
}
