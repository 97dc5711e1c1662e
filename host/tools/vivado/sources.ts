/** Which files of firmware/rtl a module is made of. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { RTL } from "../netlist.ts";

/** An instance of a module: its name, then parameters or the instance's name. */
const INSTANCE = /^\s*(lm_\w+)\s+(?:#\(|u_\w+\s*\()/gm;
const INCLUDE = /`include "(\w+\.svh)"/g;

/** Files of modules and of all that they instantiate, in the order of what needs what; and headers, beside those given. */
export function sourcesOf(tops: readonly string[], more: readonly string[]): { sources: string[]; headers: string[] } {
  const sources: string[] = [];
  const headers = new Set(more);
  const visited = new Set<string>();
  const visit = (module: string) => {
    const file = `${module}.sv`;
    if (visited.has(module) || !existsSync(join(RTL, file))) return;
    visited.add(module);
    const text = readFileSync(join(RTL, file), "utf8");
    for (const [, name] of text.matchAll(INCLUDE)) headers.add(name!);
    for (const [, name] of text.matchAll(INSTANCE)) visit(name!);
    sources.push(file);
  };
  for (const top of tops) visit(top);
  return { sources, headers: [...headers].sort().map((name) => join("include", name)) };
}
