/** Folders for what is under way. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TEMPORARY = join(tmpdir(), "lightmamba-");

/** A folder that is gone when `action` has ended, and at once when the signal comes: after Ctrl-C nothing else has its turn. */
export async function withScratch<T>(
  action: (folder: string) => Promise<T>,
  signal: AbortSignal | undefined,
  prefix = TEMPORARY,
): Promise<T> {
  const folder = mkdtempSync(prefix);
  // Programs that are being ended may write a last file
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  signal?.addEventListener("abort", remove);
  try {
    return await action(folder);
  } finally {
    signal?.removeEventListener("abort", remove);
    remove();
  }
}
