/** Runs a script in record.tcl, and reads what it recorded. */
import { spawnSync } from "node:child_process";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { LightMambaError } from "../../errors.ts";

const RECORDER = fileURLToPath(new URL("record.tcl", import.meta.url));
const SEPARATOR = "\x1f";

export interface Call {
  command: string;
  options: Map<string, string>;
  args: string[];
}

/** The calls of a script. One that fails, or uses what Vivado does not have, is an error with its line. */
export function record(script: string, args: readonly string[] = []): Call[] {
  const { status, stdout, stderr, error } = spawnSync("tclsh", [RECORDER, script, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (error !== undefined)
    throw new LightMambaError("prerequisite", "there is no tclsh", {
      hint: "firmware/tools/install.sh installs it",
    });
  if (status !== 0) throw new LightMambaError("verification", stderr.trim(), { file: basename(script) });
  return stdout.split("\n").filter(Boolean).map(readCall);
}

function readCall(line: string): Call {
  const [command, ...fields] = line.split(SEPARATOR);
  // A property's value may begin with anything
  const isOption = (field: string) => command !== "set_property" && /^-[a-z]/.test(field);
  const options = fields.filter(isOption).map((field): [string, string] => {
    const [, name, value] = /^(-\w+)(?:=(.*))?$/.exec(field)!;
    return [name!, value ?? ""];
  });
  return { command: command!, options: new Map(options), args: fields.filter((field) => !isOption(field)) };
}

/** Elements of a list in Tcl: words, and groups in braces. Enough for what these scripts have in them. */
export function tclList(text: string): string[] {
  const out: string[] = [];
  for (let at = 0; at < text.length; ) {
    if (/\s/.test(text[at]!)) {
      at++;
      continue;
    }
    const end = text[at] === "{" ? closing(text, at) : at + /^\S+/.exec(text.slice(at))![0].length;
    out.push(text[at] === "{" ? text.slice(at + 1, end - 1) : text.slice(at, end));
    at = end;
  }
  return out;
}

/** Behind the brace that closes the one at `from`. */
function closing(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "{") depth++;
    if (text[at] === "}" && --depth === 0) return at + 1;
  }
  throw new RangeError(`a brace of a list is not closed: ${text.slice(from, from + 40)}`);
}

/** Pairs of a list: names and values. */
export function tclPairs(text: string): Map<string, string> {
  const list = tclList(text);
  return new Map(list.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name, list[i + 1] ?? ""]] : [])));
}

/** Values of a property, by the object that has it. */
export function properties(calls: readonly Call[], name: string): Map<string, string> {
  const found = calls.filter(({ command, args }) => command === "set_property" && args[0] === name);
  return new Map(found.map(({ args }) => [args[2]!, args[1]!]));
}
