/** Where things are. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { LightMambaError } from "../host/errors.ts";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
export const BUILD = join(ROOT, "build");
/** The command line as it is shipped. */
export const CLI = join(BUILD, "js", "host", "cli", "main.js");

export function checkBuilt(): void {
  if (existsSync(CLI)) return;
  throw new LightMambaError("prerequisite", "the command line is not built", { file: CLI, hint: "npm run build" });
}
