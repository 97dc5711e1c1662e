/**
 * The one entry of `npm start`, `npm test` and `npm run`.
 *
 * Given a verb it brings the working copy to the state which that verb needs (packages, wasm modules, compiled host
 * code), then runs the verb with the Node 24 that the lockfile pins, so that everyone gets the same engine whichever
 * one runs npm. It is plain JavaScript without dependencies, because it runs before there are any.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const MODULES = join(ROOT, "node_modules");
const BUILD = join(ROOT, "build");
const INSTALL_STAMP = join(MODULES, ".lightmamba-stamp");
/** Written last in each build step, one file a step, so that parallel steps never overwrite each other's. */
const STAMPS = join(BUILD, ".stamps");
const PINNED_NODE = join(MODULES, "node", "bin", process.platform === "win32" ? "node.exe" : "node");
const ASC = join(MODULES, "assemblyscript", "bin", "asc.js");
const TSC = join(MODULES, "typescript", "bin", "tsc");
const BIOME = join(MODULES, "@biomejs", "biome", "bin", "biome");
/** bin/asp.js would start whichever `node` is on PATH; this is the file it starts. */
const ASPECT = join(MODULES, "@as-pect", "cli", "lib", "test.js");

const RUNTIME_ENTRY = "assembly/index.ts";
const OFFLINE_ENTRY = "assembly/offline/index.ts";
/** For the tests: the runtime with its units exported one by one. */
const UNITS_ENTRY = "assembly/units/testing.ts";
const WASM = [
  { target: "runtime", entry: RUNTIME_ENTRY, file: "runtime.wasm" },
  { target: "relaxed", entry: RUNTIME_ENTRY, file: "runtime.relaxed.wasm" },
  { target: "native", entry: RUNTIME_ENTRY, file: "runtime.native.wasm" },
  { target: "offline", entry: OFFLINE_ENTRY, file: "offline.wasm" },
  { target: "units", entry: UNITS_ENTRY, file: "units.wasm" },
  { target: "units-relaxed", entry: UNITS_ENTRY, file: "units.relaxed.wasm" },
  { target: "units-native", entry: UNITS_ENTRY, file: "units.native.wasm" },
];
/** The add-on of host/native, by the kind of machine: host/runtime/native.ts looks for it there. */
const KERNELS = join(BUILD, "native", `${process.platform}-${process.arch}.node`);
const MAIN = join(BUILD, "js", "host", "cli", "main.js");

/** An end that needs no stack: the message says all. */
class SetupError extends Error {}

function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Children that must not outlive us when a signal arrives. */
const children = new Set();

/** Runs a program in the repository root. Captures its output unless `inherit`; never throws on a non-zero code. */
function run(program, args, { inherit = false, env = process.env, cwd = ROOT } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = inherit ? "inherit" : ["ignore", "pipe", "pipe"];
    const child = spawn(program, args, { cwd, env, stdio });
    children.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (chunk) => {
        output += chunk;
      });
    }
    child.on("error", (error) => {
      children.delete(child);
      reject(new SetupError(`cannot start ${program}: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      children.delete(child);
      resolve({ code: code ?? 128 + (SIGNALS[signal] ?? 0), output });
    });
  });
}

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };
for (const name of Object.keys(SIGNALS)) {
  // We end when the child does, with its code: it may have a summary to print.
  process.on(name, () => {
    if (children.size === 0) process.exit(128 + SIGNALS[name]);
    for (const child of children) child.kill(name);
  });
}

/**
 * Runs one step and reports it in one line; its output is shown only when it fails. Ending with the code `skipCode` it
 * says why it could do nothing, which counts as a failure only where nothing may be skipped.
 */
async function step(name, program, args, { skipCode, ...options } = {}) {
  const start = performance.now();
  const { code, output } = await run(program, args, options);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (code === skipCode && process.env.LIGHTMAMBA_NO_SKIP !== "1") {
    say(`${name}: skipped: ${output.trim()}`);
    return true;
  }
  say(`${name}: ${code === 0 ? "ok" : "FAILED"} (${seconds} s)`);
  if (code !== 0 && output.trim() !== "") say(output.trimEnd());
  return code === 0;
}

// ---------------------------------------------------------------------------------------------------- packages

function hashOf(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

function readOrEmpty(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function checkOwnNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(
    `Node ${process.versions.node} is too old: install Node 20.19 or newer (https://nodejs.org), then try again`,
  );
}

/** True when npm itself already installed just what the lockfile says (the user ran `npm ci`). */
function installedByNpm(lockText) {
  const hidden = readOrEmpty(join(MODULES, ".package-lock.json"));
  if (hidden === "") return false;
  const installed = JSON.parse(hidden).packages;
  return Object.entries(JSON.parse(lockText).packages).every(
    ([path, wanted]) => path === "" || wanted.optional || installed[path]?.integrity === wanted.integrity,
  );
}

async function ensurePackages() {
  const lockText = readOrEmpty(join(ROOT, "package-lock.json"));
  if (lockText === "") throw new SetupError("package-lock.json is missing: this is not a complete working copy");
  const wanted = hashOf(lockText);
  if (readOrEmpty(INSTALL_STAMP) === wanted) return;
  if (!installedByNpm(lockText)) await install();
  writeFileSync(INSTALL_STAMP, wanted);
}

async function install() {
  say("npm ci: installing the packages of package-lock.json …");
  const npm = process.env.npm_execpath;
  const args = ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  // Under npm, its own script is known, and the first `node` on PATH may be the one that `npm ci` is about to delete.
  const [program, prefix] = npm?.endsWith(".js") ? [npmNode(), [npm]] : ["npm", []];
  if (await step("npm ci", program, [...prefix, ...args])) return;
  throw new SetupError("the packages could not be installed: see npm's message above (network, proxy, disk space?)");
}

/** The Node that runs npm. Not always ours: npm puts node_modules/.bin, with Node 24 in it, first on PATH. */
function npmNode() {
  return process.env.npm_node_execpath ?? process.execPath;
}

// ---------------------------------------------------------------------------------------------------- Node 24

/** Types are stripped without a flag from here on. */
function stripsTypes(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > 23 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18);
}

/** The Node which everything runs on; normally the pinned one. */
async function findNode() {
  if (existsSync(PINNED_NODE)) return PINNED_NODE;
  if (stripsTypes(process.versions.node)) {
    say(`node_modules/node has no binary: using Node ${process.versions.node} (${process.execPath})`);
    return process.execPath;
  }
  // npm may have been told to skip install scripts; this is the script of package `node`.
  const folder = join(MODULES, "node");
  if (existsSync(join(folder, "installArchSpecificPackage.js"))) {
    await step("node 24 binary", process.execPath, ["installArchSpecificPackage.js"], { cwd: folder });
    if (existsSync(PINNED_NODE)) return PINNED_NODE;
  }
  throw new SetupError(
    "package `node` brought no binary for this machine: run `npm ci --foreground-scripts` to see why, or use Node 22.18 or newer",
  );
}

/** Children see the chosen Node as `node`, and the path of Node 20 where npm runs on it (tests compare the engines). */
function childEnv(node) {
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}` };
  const runsNpm = /\bnode\/v(\d+)\./.exec(process.env.npm_config_user_agent ?? "")?.[1];
  const major = runsNpm ?? process.versions.node.split(".")[0];
  if (major === "20" && existsSync(npmNode())) env.LIGHTMAMBA_NODE20 ??= npmNode();
  return env;
}

// ---------------------------------------------------------------------------------------------------- build

/** Files below `folder` that end so, sorted, relative to the root. */
function sources(folder, skip = () => false, endings = [".ts"]) {
  const found = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
  return found
    .filter((name) => endings.some((ending) => name.endsWith(ending)) && !skip(name))
    .map((name) => join(folder, name))
    .sort();
}

/** Contents, not times: a checkout that changes nothing must not rebuild. The lockfile stands for the compilers. */
function inputsHash(files) {
  const parts = ["package-lock.json", ...files].flatMap((name) => [name, readOrEmpty(join(ROOT, name))]);
  return hashOf(...parts);
}

function upToDate(name, hash, outputs) {
  return readOrEmpty(join(STAMPS, name)) === hash && outputs.every((path) => existsSync(path));
}

async function buildStep(name, hash, outputs, action) {
  if (upToDate(name, hash, outputs)) return true;
  // A private folder beside the outputs: a broken or parallel build never leaves half a file where others look.
  const scratch = join(BUILD, `${name}.${process.pid}.tmp`);
  mkdirSync(scratch, { recursive: true });
  try {
    if (!(await action(scratch))) return false;
    mkdirSync(STAMPS, { recursive: true });
    writeFileSync(join(STAMPS, name), hash);
    return true;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function buildWasm(node, { target, entry, file }, hash) {
  const output = join(BUILD, file);
  return buildStep(target, hash, [output], async (scratch) => {
    const made = join(scratch, file);
    const args = [ASC, entry, "--config", "asconfig.json", "--target", target, "--outFile", made];
    if (!(await step(`asc ${target}`, node, args))) return false;
    renameSync(made, output);
    return true;
  });
}

function buildHost(node, hash) {
  return buildStep("host", hash, [MAIN], async (scratch) => {
    const made = join(scratch, "js");
    const args = [TSC, "-p", "tsconfig.json", "--outDir", made, "--incremental", "false", "--tsBuildInfoFile", "null"];
    if (!(await step("tsc", node, [...args, "--noEmitOnError"]))) return false;
    // Replaced as a whole, so that a source file that is gone leaves no output behind.
    rmSync(join(BUILD, "js"), { recursive: true, force: true });
    renameSync(made, join(BUILD, "js"));
    return true;
  });
}

/** Where there is no compiler or no kernel for the machine, that is said once, and the runtime does without. */
function buildKernels(node) {
  const { stdout } = spawnSync(process.env.CC ?? "cc", ["--version"], { encoding: "utf8" });
  const files = sources("host/native", undefined, [".c", ".h", ".mjs"]);
  const hash = hashOf(inputsHash(files), process.arch, stdout ?? "");
  return buildStep("kernels", hash, stdout && process.arch === "x64" ? [KERNELS] : [], async (scratch) => {
    const made = join(scratch, "kernels.node");
    rmSync(KERNELS, { force: true });
    if (!(await step("kernels", node, ["host/native/build.mjs", made], { skipCode: 3 }))) return false;
    mkdirSync(dirname(KERNELS), { recursive: true });
    if (existsSync(made)) renameSync(made, KERNELS);
    return true;
  });
}

async function build(node) {
  const wasmHash = inputsHash(["asconfig.json", ...sources("assembly", (name) => name.startsWith("__tests__"))]);
  const hostHash = inputsHash([
    "tsconfig.json",
    "package.json",
    "assembly/contract.ts",
    "assembly/device.generated.ts",
    ...sources("host"),
  ]);
  const steps = [
    ...WASM.map((target) => buildWasm(node, target, wasmHash)),
    buildHost(node, hostHash),
    buildKernels(node),
  ];
  const results = await Promise.all(steps);
  if (results.includes(false)) throw new SetupError("the build failed: see above");
}

// ---------------------------------------------------------------------------------------------------- check

async function check(node, env) {
  const checks = [
    ["types of host/", node, [TSC, "-p", "tsconfig.json", "--noEmit"]],
    ["types of tests/", node, [TSC, "-p", "tests/tsconfig.json"]],
    ["types of bench/", node, [TSC, "-p", "bench/tsconfig.json"]],
    ["asc runtime", node, [ASC, RUNTIME_ENTRY, "--config", "asconfig.json", "--target", "relaxed", "--noEmit"]],
    ["asc units", node, [ASC, UNITS_ENTRY, "--config", "asconfig.json", "--target", "units-relaxed", "--noEmit"]],
    ["asc offline", node, [ASC, OFFLINE_ENTRY, "--config", "asconfig.json", "--target", "offline", "--noEmit"]],
    ["biome", node, [BIOME, "ci", "--colors=off", "."]],
    ["generated files", node, ["host/tools/generate.ts", "--check"]],
    ["rtl lint", node, ["firmware/rtl/build.mjs", "--lint"], { skipCode: 3 }],
  ];
  const failed = [];
  const worker = async () => {
    for (let next = checks.shift(); next !== undefined; next = checks.shift()) {
      const [name, program, args, options] = next;
      if (!(await step(name, program, args, { env, ...options }))) failed.push(name);
    }
  };
  // Two at a time: each takes a core.
  await Promise.all([worker(), worker()]);
  say(failed.length === 0 ? "check: all ok" : `check: failed: ${failed.join(", ")}`);
  return failed.length === 0 ? 0 : 1;
}

// ---------------------------------------------------------------------------------------------------- test

const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");

/** as-pect's summary in numbers. No summary means that a spec did not even compile: that is one failure. */
function aspectCounts(code, output) {
  const match = /\[Tests\]:\s*(\d+)\s*\/\s*(\d+)/.exec(output.replace(ESCAPES, ""));
  if (match === null) return { passed: 0, failed: 1, skipped: 0 };
  const [passed, total] = [Number(match[1]), Number(match[2])];
  const failed = total - passed;
  return { passed, failed: code !== 0 && failed === 0 ? 1 : failed, skipped: 0 };
}

async function testWasm(node, env) {
  const start = performance.now();
  const { code, output } = await run(node, [ASPECT, "--summary"], { env: { ...env, FORCE_COLOR: "0" } });
  const counts = aspectCounts(code, output);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (counts.failed > 0) process.stdout.write(output);
  process.stdout.write(
    `assembly/__tests__ (as-pect): ${counts.passed} passed, ${counts.failed} failed, ${seconds} s\n`,
  );
  return counts;
}

/** The host's tests. The reporter hands its counts over in a file, since stdout belongs to the tests' report. */
async function testHost(node, env, args) {
  const patterns = args.filter((arg) => !arg.startsWith("-"));
  const options = args.filter((arg) => arg.startsWith("-"));
  const countsFile = join(tmpdir(), `lightmamba-counts-${process.pid}.json`);
  const { code } = await run(
    node,
    [
      "--test",
      "--test-reporter=./tests/reporter.mjs",
      ...options,
      ...(patterns.length > 0 ? patterns : ["tests/**/*.test.ts"]),
    ],
    { inherit: true, env: { ...env, LIGHTMAMBA_COUNTS: countsFile } },
  );
  const text = readOrEmpty(countsFile);
  rmSync(countsFile, { force: true });
  const counts = text === "" ? { passed: 0, failed: 0, skipped: 0 } : JSON.parse(text);
  return { ...counts, failed: code !== 0 && counts.failed === 0 ? 1 : counts.failed };
}

async function test(node, env, args) {
  const all = [];
  // A named file or a filter is about the host's tests.
  if (args.length === 0) all.push(await testWasm(node, env));
  all.push(await testHost(node, env, args));
  return closing(all);
}

/** The line that ends every test run, always in this form. */
function closing(all) {
  const sum = (key) => all.reduce((total, counts) => total + counts[key], 0);
  process.stdout.write(`${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped\n`);
  return sum("failed") === 0 ? 0 : 1;
}

// ---------------------------------------------------------------------------------------------------- verbs

/** A program for developers, with what it takes of build/ as the sources say. */
async function script(node, env, args) {
  return (await run(node, args, { inherit: true, env })).code;
}

const start = (node, env, args) => script(node, env, [MAIN, "run", ...args]);

const VERBS = {
  start: { built: true, run: start },
  build: { built: true, run: async () => 0 },
  check: { built: false, run: check },
  script: { built: true, run: script },
  test: { built: true, run: test },
  "test:wasm": { built: false, run: async (node, env) => closing([await testWasm(node, env)]) },
};

async function main() {
  const [verb, ...args] = process.argv.slice(2);
  const chosen = VERBS[verb];
  if (chosen === undefined) throw new SetupError(`usage: node host/tools/setup.mjs ${Object.keys(VERBS).join("|")}`);
  checkOwnNode();
  await ensurePackages();
  const node = await findNode();
  if (chosen.built) await build(node);
  return chosen.run(node, childEnv(node), args);
}

try {
  process.exitCode = await main();
} catch (error) {
  say(error instanceof SetupError ? `setup: ${error.message}` : (error.stack ?? String(error)));
  process.exitCode = 1;
}
