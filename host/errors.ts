/** Every way a command can end. The numbers are the process exit codes and are part of the public interface. */
export const EXIT = {
  ok: 0,
  /** A defect in this program. */
  bug: 1,
  /** Wrong option, argument or configuration. */
  usage: 2,
  /** The user said no at a prompt. */
  cancelled: 3,
  /** Something this command needs is not installed or not built. */
  prerequisite: 4,
  /** No device, or more than one and none was named. */
  device: 5,
  /** A checksum or a comparison did not hold. */
  verification: 6,
  /** A checkpoint, model directory, tokenizer or other input file is not what it must be. */
  badInput: 7,
  /** The input is well formed, but this program does not support it. */
  unsupported: 8,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitName = keyof typeof EXIT;

export interface ErrorDetail {
  /** File the fault is in. */
  file?: string;
  /** Tensor, header field or option at fault. */
  field?: string;
  expected?: string | number;
  found?: string | number;
  /** What the user can do about it. */
  hint?: string;
}

/**
 * The only error this package throws on purpose. The message is one line: `file: field: what (expected …, found …)`.
 * `exit` names the exit code; `detail` has the parts for `--json`.
 */
export class LightMambaError extends Error {
  readonly exit: ExitName;
  readonly detail: ErrorDetail;

  constructor(exit: ExitName, what: string, detail: ErrorDetail = {}) {
    const where = [detail.file, detail.field].filter((part) => part !== undefined).join(": ");
    const pair = [
      detail.expected === undefined ? undefined : `expected ${detail.expected}`,
      detail.found === undefined ? undefined : `found ${detail.found}`,
    ].filter((part) => part !== undefined);
    super(`${where ? `${where}: ` : ""}${what}${pair.length > 0 ? ` (${pair.join(", ")})` : ""}`);
    this.name = "LightMambaError";
    this.exit = exit;
    this.detail = detail;
  }

  /** The error that came from another thread, as it was. */
  static revive({ exit, message, detail }: { exit: ExitName; message: string; detail: ErrorDetail }): LightMambaError {
    const error = new LightMambaError(exit, message, detail);
    error.message = message;
    return error;
  }
}

/** The error, with what the user should know of how things are now: as a hint, or in the message of a defect. */
export function withHint(error: unknown, hint: string): unknown {
  if (error instanceof LightMambaError) {
    const hints = [hint, error.detail.hint].filter(Boolean).join("; ");
    const { exit, message, detail } = error;
    return LightMambaError.revive({ exit, message, detail: { ...detail, hint: hints } });
  }
  if (error instanceof Error) error.message += ` (${hint})`;
  return error;
}

export function badInput(what: string, detail: ErrorDetail = {}): LightMambaError {
  return new LightMambaError("badInput", what, detail);
}
