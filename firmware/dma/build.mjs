/**
 * Builds the C library's tests, and its add-on for Node.
 *
 *   node firmware/dma/build.mjs [name…]    these (none named: plain and sanitize) → build/dma/<name>/
 *
 *   plain       lm_dma_test, the tests (test/main.c)
 *   sanitize    the same with the address and undefined-behaviour sanitizers
 *
 * Cached by the contents of what they are made from. Exit code 3: there is no C compiler.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
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

const LIBRARY = filesIn(DMA, ".c");
const TESTS = filesIn(join(DMA, "test"), ".c");
const HEADERS = [DMA, join(DMA, "test"), INCLUDE].flatMap((folder) => filesIn(folder, ".h"));

function compileTests(flags) {
  return (folder) =>
    spawnSync(CC, [...FLAGS, ...flags, ...LIBRARY, ...TESTS, "-pthread", "-o", join(folder, "lm_dma_test")]);
}

const BUILDS = {
  plain: { make: compileTests(["-O2"]), inputs: [...LIBRARY, ...TESTS, ...HEADERS] },
  sanitize: { make: compileTests(SANITIZERS), inputs: [...LIBRARY, ...TESTS, ...HEADERS] },
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
  return names.every(build) ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
