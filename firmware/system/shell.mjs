/** What the parts of the system's build share: programs that are run, hashes, the cache. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cached } from "../tools/build.mjs";

export const SYSTEM = dirname(fileURLToPath(import.meta.url));
export const ROOT = dirname(dirname(SYSTEM));

/** Downloads and builds that take long, for all working copies. */
export const CACHE = process.env.LIGHTMAMBA_CACHE || join(homedir(), ".cache", "lightmamba");

/** 2024-01-01: what must say when it was made says this. */
export const SOURCE_DATE_EPOCH = 1704067200;

/** The message is for whoever builds. */
export class BuildError extends Error {}

/** This machine lacks something that the build needs. */
export class MissingError extends BuildError {}

const ENVIRONMENT = { LC_ALL: "C", TZ: "UTC", SOURCE_DATE_EPOCH: String(SOURCE_DATE_EPOCH) };

/** Ends a build script: one line of JSON with what `action` made, or why it could not. */
export async function end(action) {
  try {
    process.stdout.write(`${JSON.stringify(await action())}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`build.mjs: ${error.message}\n`);
    return error instanceof MissingError ? 3 : 1;
  }
}

/** Runs a program; what it wrote to stdout. What it said is shown when it fails. */
export function run(program, args, { cwd = ROOT, env = {}, input } = {}) {
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env: { ...process.env, ...ENVIRONMENT, ...env },
    input,
    maxBuffer: 1 << 28,
    encoding: "utf8",
  });
  if (error?.code === "ENOENT") throw new MissingError(`no ${program} (firmware/tools/install.sh installs it)`);
  if (error !== undefined) throw new BuildError(`${program}: ${error.message}`);
  if (status === 0) return stdout;
  const said = `${stdout}${stderr}`.trimEnd().split("\n").slice(-40).join("\n");
  throw new BuildError(`${said}\n${program} ${args.join(" ")}: ended with ${status ?? signal}`);
}

/** One hash of texts, and of files by their contents. */
export function hashOf(texts, files = []) {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text).update("\0");
  for (const file of files) hash.update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

/** All files of firmware/system but what explains them. */
export function ownFiles() {
  const entries = readdirSync(SYSTEM, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith(".md"));
  return files.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
}

/** Whoever built it, with whatever umask: all may read, and run what its owner may run. */
export function allow(tree) {
  run("chmod", ["-R", "u=rwX,go=rX", tree]);
}

export function sha256(file) {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** A folder that `make(scratch)` fills, unless it was made with this hash. */
export async function folderOf(title, folder, hash, make) {
  const action = async (scratch) => {
    await make(scratch);
    return { code: 0, output: "" };
  };
  await cached(title, folder, hash, action);
  return folder;
}

/** The same in the cache, where each hash has a folder of its own: working copies that differ do not take turns. */
export function cacheFolder(title, name, hash, make) {
  return folderOf(title, join(CACHE, `${name}-${hash.slice(0, 12)}`), hash, make);
}
