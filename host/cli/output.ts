import { createProgress, type Progress } from "./progress.ts";

/** What a stream must offer here; tests pass their own. */
export interface Sink {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
}

export interface OutputFlags {
  json: boolean;
  quiet: boolean;
  /** False for --no-color. */
  color: boolean;
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow";

/**
 * The only way a command writes. Data goes to stdout, everything else to stderr, so that a pipe gets data only. With
 * --json, stdout carries JSON and nothing else: one document, or one object a line.
 */
export interface Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Text on stdout as it is, for streaming. */
  data(text: string): void;
  /** One line on stdout. */
  line(text?: string): void;
  /** One JSON value on a line of its own on stdout. */
  record(value: unknown): void;
  /** One line on stderr; not with --quiet. */
  note(text: string): void;
  /** One line on stderr, also with --quiet. */
  warn(text: string): void;
  /** Progress on stderr; nothing with --quiet. */
  progress(label: string): Progress;
  /** Colours `text` for stdout, or leaves it alone where colour is off. */
  style(style: Style, text: string): string;
}

const CODES: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
};

/** https://no-color.org and https://force-color.org: the user's refusal is stronger than the wish. */
export function wantsColor(flag: boolean, env: NodeJS.ProcessEnv, isTty: boolean): boolean {
  if (!flag || (env.NO_COLOR ?? "") !== "") return false;
  const force = env.FORCE_COLOR;
  if (force !== undefined && force !== "") return force !== "0" && force !== "false";
  return isTty && env.TERM !== "dumb";
}

/**
 * The flags that must be known before the arguments are parsed, since a fault in the arguments is reported in the
 * form they ask for. What follows `--` is data.
 */
export function readFlags(args: readonly string[]): OutputFlags {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  return {
    json: own.includes("--json"),
    quiet: own.includes("--quiet") || own.includes("-q"),
    color: !own.includes("--no-color"),
  };
}

export function createOutput(
  flags: OutputFlags,
  stdout: Sink = process.stdout,
  stderr: Sink = process.stderr,
  env: NodeJS.ProcessEnv = process.env,
): Output {
  // JSON is for programs: an escape code in a string value would be a fault.
  const color = !flags.json && wantsColor(flags.color, env, stdout.isTTY === true);
  return {
    json: flags.json,
    quiet: flags.quiet,
    data: (text) => void stdout.write(text),
    line: (text = "") => void stdout.write(`${text}\n`),
    record: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
    note: (text) => void (flags.quiet || stderr.write(`${text}\n`)),
    warn: (text) => void stderr.write(`${text}\n`),
    progress: (label) => createProgress(label, { sink: stderr, silent: flags.quiet }),
    style: (style, text) => (color ? `\u001b[${CODES[style][0]}m${text}\u001b[${CODES[style][1]}m` : text),
  };
}
