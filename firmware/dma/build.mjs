/**
 * Builds the C library's tests, and its add-on for Node.
 *
 *   node firmware/dma/build.mjs [name…]    these (none named: plain and sanitize) → build/dma/<name>/
 *
 *   plain       lm_dma_test, the tests (test/main.c)
 *   sanitize    the same with the address and undefined-behaviour sanitizers
 *   addon       lm_dma.node, the add-on (addon.c, binding.gyp), built by node-gyp
 *
 * Cached by the contents of what they are made from. Exit code 3: there is no C compiler or, for the add-on, no Python or none of its packages.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const DMA = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(dirname(DMA));
const INCLUDE = join(DMA, "..", "include");
const BUILD = join(ROOT, "build", "dma");
const MISSING = 3;

const CC = process.env.CC ?? "cc";
const WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"];
const FLAGS = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-g", ...WARNINGS];
const SANITIZERS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

function filesIn(folder, ending) {
  const names = readdirSync(folder).filter((name) => name.endsWith(ending));
  return names.sort().map((name) => join(folder, name));
}

const ADDON = ["addon.c", "binding.gyp", "package-lock.json"].map((name) => join(DMA, name));
const LIBRARY = filesIn(DMA, ".c").filter((path) => !ADDON.includes(path));
const TESTS = filesIn(join(DMA, "test"), ".c");
const HEADERS = [DMA, join(DMA, "test"), INCLUDE].flatMap((folder) => filesIn(folder, ".h"));

function compileTests(flags) {
  return (folder) =>
    spawnSync(CC, [...FLAGS, ...flags, ...LIBRARY, ...TESTS, "-pthread", "-o", join(folder, "lm_dma_test")]);
}

const PACKAGES = join(DMA, "node_modules");

/** Why there can be none; installs node-gyp and Node-API's headers, which have a lockfile of their own. */
function addonMissing() {
  if (spawnSync("python3", ["--version"]).status !== 0) return "no Python 3 (firmware/tools/install.sh installs it)";
  if (existsSync(join(PACKAGES, "node-gyp", "package.json"))) return undefined;
  const npm = process.env.npm_execpath;
  // With the Node that runs this, not with npm's own, which may be too old for node-gyp
  const [program, prefix] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  const args = [...prefix, "ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, stderr, error } = spawnSync(program, args, { cwd: DMA, encoding: "utf8" });
  return status === 0 ? undefined : `node-gyp cannot be installed: ${(error?.message || stderr || `npm ended with ${status}`).trim().split("\n")[0]}`;
}

/**
 * node-gyp works where its binding.gyp is, and leaves more than the add-on there: so in a copy. It would fetch the headers of this Node;
 * Node-API's are the same for all, and a package.
 */
function compileAddon(folder) {
  const copy = join(folder, "copy");
  const headers = join(copy, "node", "include", "node");
  cpSync(INCLUDE, join(copy, "include"), { recursive: true });
  for (const path of [...ADDON, ...LIBRARY, ...HEADERS]) {
    if (dirname(path) === DMA) cpSync(path, join(copy, "dma", basename(path)));
  }
  cpSync(join(PACKAGES, "node-api-headers", "include"), headers, { recursive: true });
  writeFileSync(join(headers, "common.gypi"), "{}");
  const args = [join(PACKAGES, "node-gyp", "bin", "node-gyp.js"), "rebuild", "--nodedir", join(copy, "node")];
  const result = spawnSync(process.execPath, args, { cwd: join(copy, "dma") });
  const made = join(copy, "dma", "build", "Release", "lm_dma.node");
  if (result.status === 0) renameSync(made, join(folder, "lm_dma.node"));
  rmSync(copy, { recursive: true, force: true });
  return result;
}

const TEST_INPUTS = [...LIBRARY, ...TESTS, ...HEADERS];
const BUILDS = {
  plain: { make: compileTests(["-O2"]), inputs: TEST_INPUTS },
  sanitize: { make: compileTests(SANITIZERS), inputs: TEST_INPUTS },
  addon: { make: compileAddon, inputs: [...ADDON, ...LIBRARY, ...HEADERS], missing: addonMissing },
};

function hashOf(inputs) {
  const hash = createHash("sha256").update(CC);
  for (const path of [fileURLToPath(import.meta.url), ...inputs]) {
    hash.update(path.slice(ROOT.length)).update(readFileSync(path)).update("\0");
  }
  return hash.digest("hex");
}

/** A build has a folder of its own, which takes its place when it is complete. */
function build(name) {
  const { make, inputs } = BUILDS[name];
  const [folder, hash] = [join(BUILD, name), hashOf(inputs)];
  const stamp = join(folder, "stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return true;
  const scratch = `${folder}.${process.pid}.tmp`;
  mkdirSync(scratch, { recursive: true });
  try {
    const { status, stdout, stderr } = make(scratch);
    process.stderr.write(`dma ${name}: ${status === 0 ? "ok" : `FAILED\n${stdout}${stderr}`}\n`);
    if (status !== 0) return false;
    writeFileSync(join(scratch, "stamp"), hash);
    rmSync(folder, { recursive: true, force: true });
    renameSync(scratch, folder);
    return true;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function main(args) {
  const names = args.length > 0 ? args : ["plain", "sanitize"];
  const unknown = names.find((name) => !(name in BUILDS));
  if (unknown !== undefined) {
    process.stderr.write(`build.mjs: no build ${unknown}; there are: ${Object.keys(BUILDS).join(", ")}\n`);
    return 2;
  }
  if (spawnSync(CC, ["--version"]).status !== 0) {
    process.stderr.write(`no C compiler: ${CC} (firmware/tools/install.sh installs one)\n`);
    return MISSING;
  }
  const missing = names.map((name) => BUILDS[name].missing?.()).find((text) => text !== undefined);
  if (missing !== undefined) {
    process.stderr.write(`${missing}\n`);
    return MISSING;
  }
  return names.every(build) ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
