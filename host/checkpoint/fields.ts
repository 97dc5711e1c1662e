/** Typed access to the fields of a JSON object: a wrong type or an absurd value is reported by file and field. */

import { badInput, type LightMambaError } from "../errors.ts";
import { describe, isObject, type JsonObject, type JsonValue } from "./json.ts";

export class Fields {
  readonly file: string;
  readonly #object: JsonObject;
  readonly #prefix: string;

  constructor(file: string, object: JsonObject, prefix = "") {
    this.file = file;
    this.#object = object;
    this.#prefix = prefix;
  }

  /** `ssm_cfg.d_state`: a field's full name. */
  name(key: string): string {
    return this.#prefix + key;
  }

  /** The raw value. Absent and null are the same: Python writes None for "not set". */
  get(key: string): JsonValue | undefined {
    return this.#object[key] ?? undefined;
  }

  /** Present, be it null. */
  has(key: string): boolean {
    return key in this.#object;
  }

  error(key: string, expected: string): LightMambaError {
    return badInput("wrong value", {
      file: this.file,
      field: this.name(key),
      expected,
      found: describe(this.get(key)),
    });
  }

  /** An integer from `low` to `high`. No fallback: the field must be there. */
  integer(key: string, range: [low: number, high: number], fallback?: number): number {
    const value = this.#required(key, fallback);
    const [low, high] = range;
    if (!(Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high)) {
      throw this.error(key, `an integer from ${low} to ${high}`);
    }
    return value as number;
  }

  /** A number in (0, high]. No fallback: the field must be there. */
  positive(key: string, high: number, fallback?: number): number {
    const value = this.#required(key, fallback);
    if (!(typeof value === "number" && value > 0 && value <= high)) {
      throw this.error(key, `a number above 0 and at most ${high}`);
    }
    return value;
  }

  /** Any finite number. */
  number(key: string): number {
    const value = this.get(key);
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.error(key, "a number");
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#required(key, fallback);
    if (typeof value !== "boolean") throw this.error(key, "true or false");
    return value;
  }

  /** Fields of a nested object; of an empty one when it is absent. */
  nested(key: string): Fields {
    const value = this.get(key) ?? {};
    if (!isObject(value)) throw this.error(key, "an object");
    return new Fields(this.file, value, `${this.name(key)}.`);
  }

  /** Fields of the object at index i of a list. */
  item(key: string, index: number): Fields {
    const list = this.get(key);
    const value = Array.isArray(list) ? list[index] : undefined;
    if (!isObject(value)) throw badInput("not an object", { file: this.file, field: `${this.name(key)}[${index}]` });
    return new Fields(this.file, value, `${this.name(key)}[${index}].`);
  }

  /** Bounds of the time step. Python may have written Infinity as `{"__float__": "Infinity"}`. */
  interval(key: string): [low: number, high: number] {
    const value = this.get(key) ?? [0, Number.POSITIVE_INFINITY];
    const [low, high, ...rest] = Array.isArray(value) ? value.map(numberOf) : [];
    if (low === undefined || high === undefined || rest.length > 0 || !(low >= 0 && low <= high && low < Infinity)) {
      throw this.error(key, "[low, high] with 0 <= low <= high");
    }
    return [low, high];
  }

  /** Token ids below `end`, written as one number, a list or not at all. */
  tokenIds(key: string, end: number, fallback: number[]): number[] {
    if (!this.has(key)) return fallback;
    const ids = [this.get(key) ?? []].flat();
    const isId = (id: JsonValue) => Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < end;
    if (!ids.every(isId)) throw this.error(key, `token ids from 0 to ${end - 1}`);
    return [...new Set(ids as number[])];
  }

  #required(key: string, fallback: JsonValue | undefined): JsonValue {
    const value = this.get(key) ?? fallback;
    if (value === undefined) throw badInput("the field is missing", { file: this.file, field: this.name(key) });
    return value;
  }
}

function numberOf(value: JsonValue): number {
  const spelled = isObject(value) ? value.__float__ : value;
  if (typeof spelled === "number") return spelled;
  return spelled === "Infinity" && isObject(value) ? Number.POSITIVE_INFINITY : Number.NaN;
}
