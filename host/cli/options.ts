import { InvalidArgumentError } from "commander";
import type { MemoryPlace } from "../device/index.ts";
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

/** One of several words or numbers. */
export function oneOf<T extends string | number>(values: readonly T[]): (text: string) => T {
  return (text) => {
    const value = values.find((candidate) => String(candidate) === text);
    if (value !== undefined) return value;
    throw new InvalidArgumentError(`Expected ${values.join(", ").replace(/, ([^,]*)$/, " or $1")}.`);
  };
}

/** file,address,bytes[,offset]; numbers decimal or with 0x.  */
export function memoryPlaces(text: string, before: readonly MemoryPlace[] = []): MemoryPlace[] {
  const match = /^([^,]+),([^,]+),([^,]+)(?:,([^,]+))?$/.exec(text);
  const [address, bytes, offset] = (match ?? [])
    .slice(2)
    .map((part) => (part === undefined ? undefined : Number(part)));
  const numbers = [address, bytes, ...(offset === undefined ? [] : [offset])];
  if (match !== null && numbers.every((number) => Number.isSafeInteger(number) && number! >= 0)) {
    const place = { path: match[1]!, address: address!, bytes: bytes!, ...(offset === undefined ? {} : { offset }) };
    return [...before, place];
  }
  throw new InvalidArgumentError("Expected file,address,bytes or file,address,bytes,offset.");
}

/** For variadic options with a parser of their own: commander hands over what was collected before. */
export function collect(text: string, before: string[] | undefined): string[] {
  if (text === "") throw new InvalidArgumentError("Expected a text that is not empty.");
  return [...(before ?? []), text];
}

export const SIMD_HELP =
  "vectors to compute with: native, this processor's own, relaxed or plain, WebAssembly's; the bits are the same (default: the first that there is)";
