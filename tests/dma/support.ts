/** Builds of firmware/dma. */
import { join } from "node:path";
import { build, ROOT } from "../firmware.ts";

export function builtPath(name: string, file: string): string {
  return join(ROOT, "build", "dma", name, file);
}

/** Builds it; the reason why what needs it must be skipped, if there is one. A build that fails is an error. */
export function skipReason(name: string): string | false {
  return build("firmware/dma/build.mjs", name).skip;
}
