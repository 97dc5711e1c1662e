/** Builds of firmware/dma. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
const MISSING = 3;

export function builtPath(build: string, file: string): string {
  return join(ROOT, "build", "dma", build, file);
}

/** Builds it; the reason why what needs it must be skipped, if there is one. A build that fails is an error. */
export function skipReason(build: string): string | false {
  const { status, stderr, error } = spawnSync(process.execPath, ["firmware/dma/build.mjs", build], {
    cwd: ROOT,
    encoding: "utf8",
  });
  if (error) throw error;
  if (status === MISSING) return stderr.trim();
  if (status !== 0) throw new Error(`firmware/dma/build.mjs ${build}: exit code ${status}\n${stderr}`);
  return false;
}
