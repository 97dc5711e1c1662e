/**
 * JSON as Python writes it. JSON.parse will not do: Python's `json.dump` writes bare `NaN`, `Infinity` and `-Infinity`,
 * and a name given twice, which JSON.parse takes silently, lets two readers of a safetensors file see different tensors.
 */

import { badInput, type LightMambaError } from "../errors.ts";
import { InputFile, printable } from "./file.ts";

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
/** Without a prototype, so that a key such as `__proto__` is a key like any other. */
export interface JsonObject {
  [key: string]: JsonValue;
}

const LARGEST_JSON_FILE = 2 ** 26;
const DEEPEST = 64;
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const WORDS: [string, JsonValue][] = [
  ["true", true],
  ["false", false],
  ["null", null],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
];

/** `file` is for messages only. */
export function parseJson(text: string, file: string): JsonValue {
  return new JsonParser(text, file).document();
}

export function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw badInput("not valid UTF-8 text", { file });
  }
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function readJsonObject(path: string): JsonObject {
  const file = InputFile.open(path);
  try {
    if (file.size > LARGEST_JSON_FILE) {
      throw badInput("too large", { file: path, expected: `at most ${LARGEST_JSON_FILE} bytes`, found: file.size });
    }
    const value = parseJson(decodeUtf8(file.read(0, file.size), path), path);
    if (!isObject(value))
      throw badInput("not a JSON object", { file: path, expected: "{ … }", found: describe(value) });
    return value;
  } finally {
    file.close();
  }
}

/** A value as a message shows it. */
export function describe(value: JsonValue | undefined): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return `"${printable(value, 60)}"`;
  if (Array.isArray(value))
    return value.length > 8 ? `a list of ${value.length}` : `[${value.map(describe).join(", ")}]`;
  return isObject(value) ? "an object" : String(value);
}

class JsonParser {
  readonly #text: string;
  readonly #file: string;
  #at = 0;
  #depth = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  document(): JsonValue {
    const value = this.#value();
    if (this.#peek() !== "") throw this.#error("the end of the text");
    return value;
  }

  /** The next character that is not white space; "" at the end. */
  #peek(): string {
    while (this.#at < this.#text.length && " \t\n\r".includes(this.#text[this.#at]!)) this.#at++;
    return this.#text[this.#at] ?? "";
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.#error(`"${character}"`);
  }

  #value(): JsonValue {
    const next = this.#peek();
    if (next === '"') return this.#string();
    if (next === "{") return this.#nested(() => this.#object());
    if (next === "[") return this.#nested(() => this.#array());
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > DEEPEST) throw this.#error(`at most ${DEEPEST} levels of nesting`);
    this.#at++;
    const value = parse();
    this.#depth--;
    return value;
  }

  #object(): JsonObject {
    const object: JsonObject = Object.create(null);
    if (this.#take("}")) return object;
    do {
      if (this.#peek() !== '"') throw this.#error("a name in quotes");
      const key = this.#string();
      if (key in object) throw badInput("the name is given twice", { file: this.#file, field: printable(key) });
      this.#expect(":");
      object[key] = this.#value();
    } while (this.#take(","));
    this.#expect("}");
    return object;
  }

  #array(): JsonValue[] {
    const array: JsonValue[] = [];
    if (this.#take("]")) return array;
    do array.push(this.#value());
    while (this.#take(","));
    this.#expect("]");
    return array;
  }

  #string(): string {
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === "\\" ? 2 : 1;
    try {
      const value: string = JSON.parse(this.#text.slice(this.#at, end + 1));
      this.#at = end + 1;
      return value;
    } catch {
      throw this.#error("a string");
    }
  }

  #number(): number {
    let end = this.#at;
    while (end < this.#text.length && "+-.0123456789eE".includes(this.#text[end]!)) end++;
    const digits = this.#text.slice(this.#at, end);
    if (!NUMBER.test(digits)) throw this.#error("a value");
    this.#at = end;
    return Number(digits);
  }

  #error(expected: string): LightMambaError {
    const before = this.#text.slice(0, this.#at);
    const line = before.split("\n").length;
    const column = this.#at - before.lastIndexOf("\n");
    const next = this.#text.slice(this.#at, this.#at + 12);
    return badInput("not valid JSON", {
      file: this.#file,
      field: `line ${line}, column ${column}`,
      expected,
      found: next === "" ? "the end of the text" : `"${printable(next)}"`,
    });
  }
}
