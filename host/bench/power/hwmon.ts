/** Power monitors of a machine, as Linux shows them: docs/power.md. Every byte that they say is checked; sysfs may be any folder (`--hwmon`). */
import { closeSync, constants, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";

export const HWMON = "/sys/class/hwmon";

/** Something whose power is told. */
export interface Rail {
  name: string;
  /** The monitor's kind, as in ina226. */
  chip: string;
  /** A file of microwatts; or of millivolts and one of milliamperes. */
  files: readonly [power: string] | readonly [voltage: string, current: string];
}

/** No rail of these boards draws a kilowatt. */
const MOST_MICROWATTS = 1e9;
const MOST_TEXT = 64;

/** In the order of monitors and channels; none where the folder is not there. */
export function findRails(folder: string): Rail[] {
  const rails = numbered(folder, /^hwmon(\d+)$/).flatMap((monitor) => railsOf(join(folder, monitor)));
  const twice = (name: string) => rails.filter((rail) => rail.name === name).length > 1;
  return rails.map(({ monitor, ...rail }) => (twice(rail.name) ? { ...rail, name: `${rail.name} ${monitor}` } : rail));
}

function railsOf(folder: string): (Rail & { monitor: string })[] {
  const chip = readText(join(folder, "name")) ?? "unknown";
  const monitor = folder.split("/").at(-1)!;
  const own = readText(join(folder, "label")) ?? chip;
  const powers = numbered(folder, /^power(\d+)_input$/);
  if (powers.length > 0) {
    return powers.map((file) => {
      const label = readText(join(folder, file.replace("_input", "_label")));
      const name = label ?? (powers.length > 1 ? `${own} ${file.replace("_input", "")}` : own);
      return { name, chip, monitor, files: [join(folder, file)] as const };
    });
  }
  const [voltage, current] = ["in1_input", "curr1_input"].map((file) => join(folder, file)) as [string, string];
  const both = [voltage, current].every((file) => readText(file) !== undefined);
  return both ? [{ name: own, chip, monitor, files: [voltage, current] }] : [];
}

/** Names with a number in them, by that number. */
function numbered(folder: string, form: RegExp): string[] {
  const numberOf = (name: string) => Number(form.exec(name)![1]);
  try {
    return readdirSync(folder)
      .filter((name) => form.test(name))
      .sort((a, b) => numberOf(a) - numberOf(b));
  } catch {
    return [];
  }
}

/** What a rail draws now, in microwatts; or undefined where its monitor is gone, or says what cannot be. */
export function readMicrowatts({ files }: Rail): number | undefined {
  const [first, second] = files.map(readNumber);
  if (first === undefined) return undefined;
  if (files.length === 1) return possible(first);
  return second === undefined ? undefined : possible(first * second);
}

function possible(microwatts: number): number | undefined {
  return microwatts >= 0 && microwatts <= MOST_MICROWATTS ? microwatts : undefined;
}

function readNumber(file: string): number | undefined {
  const text = readText(file);
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** A short line of printable ASCII; undefined where there is none. Never waits: a file that is a pipe has nothing. */
function readText(file: string): string | undefined {
  try {
    const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const bytes = Buffer.alloc(MOST_TEXT);
      const text = bytes.toString("latin1", 0, readSync(descriptor, bytes)).trim();
      return /^[ -~]+$/.test(text) ? text : undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}
