/** Steps that are done once: a stamp says what a result was made from, and it is written last. */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { say } from "./programs.ts";

export class Steps {
  readonly cache: string;

  constructor(cache: string) {
    this.cache = cache;
    mkdirSync(join(cache, "stamps"), { recursive: true });
  }

  log(name: string): string {
    return join(this.cache, "logs", `${name}.log`);
  }

  /** Runs `action` unless it ran before with the same `inputs` and its outputs are there. */
  once(name: string, about: string, inputs: readonly string[], outputs: readonly string[], action: () => void): void {
    const stamp = join(this.cache, "stamps", name);
    const wanted = hashOf(inputs);
    if (outputs.every((path) => existsSync(path)) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted)
      return;
    say(`${about} …`);
    const began = performance.now();
    action();
    writeFileSync(stamp, wanted);
    say(`  ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }
}

export function hashOf(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

export function hashOfFile(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** Over the files below `folder` with one of these endings. */
export function hashOfFolder(folder: string, endings: readonly string[]): string {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .sort();
  return hashOf(names.flatMap((name) => [name, hashOfFile(join(folder, name))]));
}
