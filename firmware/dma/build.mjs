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
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cached, installPackages } from "../tools/build.mjs";

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

/** Exit code, and what was said. */
function run(program, args, cwd = ROOT) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8" });
  return { code: status, output: error?.message ?? `${stdout}${stderr}` };
}

function compileTests(flags) {
  return (folder) => run(CC, [...FLAGS, ...flags, ...LIBRARY, ...TESTS, "-pthread", "-o", join(folder, "lm_dma_test")]);
}

const PACKAGES = join(DMA, "node_modules");

/** Why there can be none; installs node-gyp and Node-API's headers. */
function addonMissing() {
  if (spawnSync("python3", ["--version"]).status !== 0) return "no Python 3 (firmware/tools/install.sh installs it)";
  return installPackages(DMA, "node-gyp");
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
  const result = run(process.execPath, args, join(copy, "dma"));
  const made = join(copy, "dma", "build", "Release", "lm_dma.node");
  if (result.code === 0) renameSync(made, join(folder, "lm_dma.node"));
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

function build(name) {
  const { make, inputs } = BUILDS[name];
  return cached(`dma ${name}`, join(BUILD, name), hashOf(inputs), make);
}

async function main(args) {
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
  for (const name of names) if (!(await build(name))) return 1;
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
