import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { LightMambaError } from "./errors.ts";

/** The folder of package.json: this code runs from host/ in a working copy and from build/js/host/ once compiled. */
export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new LightMambaError("prerequisite", "package.json of lightmamba not found");
    folder = parent;
  }
  return folder;
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string }).version;
}
