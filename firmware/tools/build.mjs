/** What the builds of firmware/ share: folders that are cached by what they are made from, and packages with a lockfile of their own. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Makes a folder, unless it was made from contents with this hash. It has a place of its own, and takes the other's when it is complete.
 * action(scratch): the exit code, and what it had to say; of that, only what failed is shown. Returns whether the folder is there.
 */
export async function cached(title, folder, hash, action) {
  const stamp = join(folder, "stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return true;
  const scratch = `${folder}.${process.pid}.tmp`;
  mkdirSync(scratch, { recursive: true });
  try {
    const start = performance.now();
    const { code, output } = await action(scratch);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    process.stderr.write(`${title}: ${code === 0 ? "ok" : "FAILED"} (${seconds} s)\n`);
    if (code !== 0) process.stderr.write(`${output.trimEnd()}\n`);
    if (code !== 0) return false;
    // Another process may have been faster, and others use what it made.
    if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return true;
    writeFileSync(join(scratch, "stamp"), hash);
    rmSync(folder, { recursive: true, force: true });
    renameSync(scratch, folder);
    return true;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Installs the packages of a folder that has a lockfile, unless `name` is there. Why it cannot be, or undefined. */
export function installPackages(folder, name) {
  if (existsSync(join(folder, "node_modules", name, "package.json"))) return undefined;
  const npm = process.env.npm_execpath;
  // With the Node that runs this, not with npm's own, which may be too old for them
  const [program, prefix] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  const args = [...prefix, "ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, stderr, error } = spawnSync(program, args, { cwd: folder, encoding: "utf8" });
  const why = () => (error?.message || stderr || `npm ended with ${status}`).trim().split("\n")[0];
  return status === 0 ? undefined : `${name} cannot be installed: ${why()}`;
}
