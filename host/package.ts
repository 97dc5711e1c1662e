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

/** The model that comes with the package, so that everything can be tried without a download. */
export const EMBEDDED_MODEL = "models/tiny-w4a4";

/** What a user means by --model: a directory, or the embedded model from wherever the program is called. */
export function modelDir(given: string): string {
  return given === EMBEDDED_MODEL && !existsSync(given) ? join(packageRoot(), EMBEDDED_MODEL) : given;
}
