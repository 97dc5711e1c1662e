/** Folders for what is under way. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

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
