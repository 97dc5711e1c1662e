import type { Sink } from "./output.ts";

/** Reports how far a long task is. `done` of `total` in any unit; the note says what is being worked on. */
export interface Progress {
  update(done: number, total: number, note?: string): void;
  /** The task has ended; call it once, also where it ended early. */
  done(note?: string): void;
}

export interface ProgressOptions {
  sink: Sink;
  silent?: boolean;
  /** Milliseconds; tests pass their own clock. */
  now?: () => number;
}

const BAR_CELLS = 24;
/** Faster redraws only flicker. */
const REDRAW_MS = 80;

const SILENT: Progress = { update: () => {}, done: () => {} };

export function createProgress(label: string, options: ProgressOptions): Progress {
  if (options.silent === true) return SILENT;
  const now = options.now ?? (() => performance.now());
  return options.sink.isTTY === true ? barProgress(label, options.sink, now) : lineProgress(label, options.sink, now);
}

function fraction(done: number, total: number): number {
  return total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
}

/** What is left of a task of which this part took this long. */
export function secondsLeft(elapsed: number, part: number): number {
  return part > 0 ? elapsed * (1 / part - 1) : 0;
}

export function formatSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function closingLine(label: string, seconds: number, note: string | undefined): string {
  return `${label}: ${note ?? "done"} (${formatSeconds(seconds)})\n`;
}

/** A bar in one line that is drawn over again. */
function barProgress(label: string, sink: Sink, now: () => number): Progress {
  const start = now();
  let drawn = Number.NEGATIVE_INFINITY;
  return {
    update(done, total, note) {
      const time = now();
      const part = fraction(done, total);
      if (time - drawn < REDRAW_MS && part < 1) return;
      drawn = time;
      const cells = Math.round(part * BAR_CELLS);
      const bar = "█".repeat(cells) + "░".repeat(BAR_CELLS - cells);
      const left = secondsLeft((time - start) / 1000, part);
      const eta = part > 0 && part < 1 ? `  ${formatSeconds(left)} left` : "";
      const text = `${label} ${bar} ${Math.floor(part * 100)} %${eta}${note === undefined ? "" : `  ${note}`}`;
      // A line that wraps cannot be drawn over.
      sink.write(`\r${text.slice(0, (sink.columns ?? 80) - 1)}\u001b[K`);
    },
    done: (note) => void sink.write(`\r\u001b[K${closingLine(label, (now() - start) / 1000, note)}`),
  };
}

/** For a file or a pipe: a line for every tenth that is done. */
function lineProgress(label: string, sink: Sink, now: () => number): Progress {
  const start = now();
  let tenths = 0;
  return {
    update(done, total, note) {
      const reached = Math.floor(fraction(done, total) * 10);
      if (reached <= tenths) return;
      tenths = reached;
      sink.write(`${label}: ${reached * 10} %${note === undefined ? "" : `  ${note}`}\n`);
    },
    done: (note) => void sink.write(closingLine(label, (now() - start) / 1000, note)),
  };
}

/** Runs the task; its report ends with it, and says so where it failed. */
export async function withProgress<T>(progress: Pick<Progress, "done">, task: () => T | Promise<T>): Promise<T> {
  let note: string | undefined = "failed";
  try {
    const result = await task();
    note = undefined;
    return result;
  } finally {
    progress.done(note);
  }
}

/** For a task of several phases with names and lengths of their own: a report for each. */
export function phaseProgress(output: { progress(label: string): Progress }) {
  let current: Progress | undefined;
  let label = "";
  return {
    update(phase: string, done: number, total: number): void {
      if (phase !== label) {
        current?.done();
        current = output.progress(phase);
        label = phase;
      }
      current?.update(done, total);
    },
    done: (note?: string) => current?.done(note),
  };
}
