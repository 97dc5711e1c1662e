import { existsSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../package.ts";

/** The model that comes with the package, so that everything can be tried without a download. */
export const EMBEDDED_MODEL = "models/tiny-w4a4";

/** What a user means by --model: a directory, or the embedded model from wherever the program is called. */
export function modelDir(given: string): string {
  return given === EMBEDDED_MODEL && !existsSync(given) ? join(packageRoot(), EMBEDDED_MODEL) : given;
}
