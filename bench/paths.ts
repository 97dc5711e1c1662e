/** Where things are. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
export const BUILD = join(ROOT, "build");
/** The command line as it is shipped. */
export const CLI = join(BUILD, "js", "host", "cli", "main.js");
