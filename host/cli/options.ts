import { InvalidArgumentError } from "commander";
import { LightMambaError } from "../errors.ts";
import { findShape, SHAPE_NAMES, type ShapeName } from "../model/shapes.ts";

/** Parsers for option values. Each returns a function that commander calls with the text the user gave. */

export interface Range {
  min?: number;
  max?: number;
  /** True where `min` itself is excluded. */
  above?: boolean;
}

function rangeText({ min, max, above }: Range): string {
  const low = min === undefined ? "" : above === true ? ` above ${min}` : ` from ${min}`;
  const high =
    max === undefined ? "" : min === undefined ? ` up to ${max}` : above === true ? ` up to ${max}` : ` to ${max}`;
  return `${low}${high}`;
}

function inRange(value: number, { min, max, above }: Range): boolean {
  if (min !== undefined && (above === true ? value <= min : value < min)) return false;
  return max === undefined || value <= max;
}

/** A whole number in decimal. */
export function integer(range: Range = {}): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && Number.isSafeInteger(value) && inRange(value, range)) return value;
    throw new InvalidArgumentError(`Expected a whole number${rangeText(range)}.`);
  };
}

/** A finite number in decimal or with an exponent. */
export function decimal(range: Range = {}): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(value) && inRange(value, range))
      return value;
    throw new InvalidArgumentError(`Expected a number${rangeText(range)}.`);
  };
}

/** Token ids, separated by commas or spaces. */
export function idList(text: string): number[] {
  const parts = text.split(/[\s,]+/).filter((part) => part !== "");
  const ids = parts.map(Number);
  const good = parts.every((part) => /^\d+$/.test(part)) && ids.every((id) => id <= 0xffff_ffff);
  if (good && ids.length > 0) return ids;
  throw new InvalidArgumentError("Expected token ids separated by commas, as in 47,1307,586.");
}

/** Values separated by commas, each of them once. */
export function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => [...new Set(text.split(",").map((part) => parse(part.trim())))];
}

/** A published size of Mamba-2. */
export function shapeName(text: string): ShapeName {
  const name = findShape(text);
  if (name !== undefined) return name;
  throw new InvalidArgumentError(`Expected one of ${SHAPE_NAMES.join(", ")}.`);
}

export function onOff(text: string): boolean {
  if (text === "on" || text === "off") return text === "on";
  throw new InvalidArgumentError("Expected on or off.");
}

/**
 * One of several words or numbers. A value in `later` is a good one that this version cannot serve yet: that is
 * "unsupported", not a typing error, and scripts can tell the two apart by the exit code.
 */
export function oneOf<T extends string | number>(
  field: string,
  values: readonly T[],
  later: readonly (string | number)[] = [],
): (text: string) => T {
  return (text) => {
    const value = values.find((candidate) => String(candidate) === text);
    if (value !== undefined) return value;
    if (later.some((candidate) => String(candidate) === text)) {
      throw new LightMambaError("unsupported", "not supported yet; it comes with a later version", {
        field: `${field} ${text}`,
        hint: `use ${values.map((candidate) => `${field} ${candidate}`).join(" or ")}`,
      });
    }
    const all = [...values, ...later].join(", ");
    throw new InvalidArgumentError(`Expected ${all.replace(/, ([^,]*)$/, " or $1")}.`);
  };
}

/** For variadic options with a parser of their own: commander hands over what was collected before. */
export function collect(text: string, before: string[] | undefined): string[] {
  if (text === "") throw new InvalidArgumentError("Expected a text that is not empty.");
  return [...(before ?? []), text];
}
