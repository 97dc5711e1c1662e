import { EXIT } from "../errors.ts";

const cleanups = new Set<() => void>();

/**
 * Registers what must happen before Ctrl-C ends the program (half a file removed, a line ended). Returns the function
 * that takes it back. Signals arrive between turns of the event loop: a long computation must yield now and then.
 */
export function onInterrupt(cleanup: () => void): () => void {
  cleanups.add(cleanup);
  return () => void cleanups.delete(cleanup);
}

/** Ctrl-C aborts `action`; whoever hears of it there and then can still clean up, nobody later. */
export async function abortable<T>(action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const release = onInterrupt(() => abort.abort());
  try {
    return await action(abort.signal);
  } finally {
    release();
  }
}

export function installSignalHandlers(): void {
  process.on("SIGINT", () => {
    for (const cleanup of cleanups) cleanup();
    process.exit(EXIT.interrupted);
  });
  // `lightmamba … | head`: the reader has what it wanted, so this is a good end.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    throw error;
  });
}
