/**
 * Builds simulations of the RTL with Verilator, and lints it.
 *
 *   node firmware/rtl/build.mjs [name…]    these builds, or all of these units (none named: all) → build/rtl/<build>/sim
 *   node firmware/rtl/build.mjs --lint     every module by itself, and every build, under -Wall
 *   node firmware/rtl/build.mjs --addon    some builds as add-ons for Node → build/rtl/addon/Release/<build>.node
 *   node firmware/rtl/build.mjs --netlist <build> [NAME=value…]    a build, with other parameters where they are given, elaborated
 *                                          → build/rtl/netlist/<build>[+NAME=value…]/netlist.xml, whose path is printed
 *
 * A unit is a testbench, `sim/<unit>.cpp`. Its top is `lm_<unit>`, unless lines like these in it name builds of their own:
 *
 *   // rtl-build: mmu-a5 top=lm_mmu_lane ACT_BITS=5 TOKENS=1
 *
 * Parameters reach the top as -G, and the testbench as macros; `verilator=--option,--option` in such a line is for Verilator
 * itself. The verilated class is always `Vtop`.
 * Builds are cached by the contents of what they are made from. Exit code 3: there is no Verilator, or for add-ons no CMake or none of its packages.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cached, installPackages } from "../tools/build.mjs";

const RTL = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(dirname(RTL));
const INCLUDE = join(RTL, "include");
const SIM = join(RTL, "sim");
const ADDON = join(RTL, "addon");
const WAIVERS = join(RTL, "lint", "waivers.vlt");
const BUILD = join(ROOT, "build", "rtl");
const JOBS = Math.min(4, availableParallelism());

/** Found by name; the include folder and the waivers need not exist. */
const SEARCH = [
  ...["-y", RTL],
  ...(existsSync(INCLUDE) ? [`-I${INCLUDE}`] : []),
  ...(existsSync(WAIVERS) ? [WAIVERS] : []),
];
const WARNINGS = ["-Wall", "--assert"];
// Registers start at random values where the testbench asks for it: nothing may depend on them.
const COMMON = ["-O3", ...WARNINGS, ...SEARCH, "--x-assign", "unique", "--x-initial", "unique"];

function verilatorVersion() {
  const { status, stdout } = spawnSync("verilator", ["--version"], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

function run(program, args) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => {
        output += chunk;
      });
    }
    child.on("error", (error) => resolve({ code: 127, output: `cannot start ${program}: ${error.message}` }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

// ---------------------------------------------------------------------------------------------------- builds

function unitNames() {
  if (!existsSync(SIM)) return [];
  const files = readdirSync(SIM).filter((name) => name.endsWith(".cpp"));
  return files.map((name) => basename(name, ".cpp")).sort();
}

function moduleNames() {
  const files = readdirSync(RTL).filter((name) => name.endsWith(".sv"));
  return files.map((name) => basename(name, ".sv")).sort();
}

/** What the lines `rtl-build:` of a testbench ask for. */
function buildsOf(unit) {
  const testbench = join(SIM, `${unit}.cpp`);
  const lines = readFileSync(testbench, "utf8").matchAll(/^\/\/ rtl-build: +(\S+)(.*)$/gm);
  const builds = [...lines].map(([, name, rest]) => {
    const pairs = [...rest.matchAll(/(\w+)=(\S+)/g)].map(([, key, value]) => [key, value]);
    const { top = `lm_${unit}`, verilator, ...parameters } = Object.fromEntries(pairs);
    return { name, top, parameters, testbench, options: verilator?.split(",") ?? [] };
  });
  return builds.length > 0 ? builds : [{ name: unit, top: `lm_${unit}`, parameters: {}, testbench, options: [] }];
}

/** Files that a source names, modules by name and includes by path, and those that they name. */
function closure(start) {
  const found = new Set(start);
  for (const path of found) {
    const text = readFileSync(path, "utf8");
    const modules = [...text.matchAll(/\blm_\w+/g)].map(([name]) => join(RTL, `${name}.sv`));
    const includes = [...text.matchAll(/include +"([^"]+)"/g)].flatMap(([, name]) => [
      join(INCLUDE, name),
      join(SIM, name),
    ]);
    const named = path.endsWith(".sv") || path.endsWith(".svh") ? [...modules, ...includes] : includes;
    for (const other of named) if (existsSync(other)) found.add(other);
  }
  return [...found].sort();
}

function hashOf({ top, parameters, testbench, options }, version) {
  const hash = createHash("sha256")
    .update(version)
    .update(JSON.stringify([top, parameters, options]));
  const files = [fileURLToPath(import.meta.url), ...closure([join(RTL, `${top}.sv`), testbench])];
  if (existsSync(WAIVERS)) files.push(WAIVERS);
  for (const path of files) hash.update(path.slice(ROOT.length)).update(readFileSync(path)).update("\0");
  return hash.digest("hex");
}

function verilatorArguments({ top, parameters, testbench, options }, folder) {
  const pairs = Object.entries(parameters);
  const defines = pairs.map(([name, value]) => `-D${name}=${value}`);
  // Verilator's own sources are compiled once for all builds, but those with options, which may change what is in them.
  const shared = options.length === 0;
  return [
    ...["--cc", "--exe", "--build", ...COMMON, "-j", String(JOBS)],
    ...options,
    ...["--top-module", top, "--prefix", "Vtop", "-Mdir", folder, "-o", "sim"],
    ...["-MAKEFLAGS", `OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O0 ${shared ? "VM_GLOBAL_FAST= VM_GLOBAL_SLOW=" : ""}`],
    ...(shared ? ["-LDFLAGS", RUNTIME.map((name) => join(BUILD, "runtime", `${name}.o`)).join(" ")] : []),
    ...["-CFLAGS", ["-std=c++17", "-march=native", `-I${SIM}`, ...defines].join(" ")],
    ...pairs.map(([name, value]) => `-G${name}=${value}`),
    ...[join(RTL, `${top}.sv`), testbench],
  ];
}

/** What Verilator links to every simulation. */
const RUNTIME = ["verilated", "verilated_threads"];

async function compileRuntime(folder) {
  const { stdout } = spawnSync("verilator", ["--getenv", "VERILATOR_ROOT"], { encoding: "utf8" });
  const include = join(stdout.trim(), "include");
  const defines = ["VERILATOR=1", "VM_COVERAGE=0", "VM_SC=0", "VM_TRACE=0", "VM_TRACE_FST=0", "VM_TRACE_VCD=0"];
  const flags = [
    "-std=c++17",
    "-O1",
    `-I${include}`,
    `-I${join(include, "vltstd")}`,
    ...defines.map((name) => `-D${name}`),
  ];
  const compile = (name) => run("c++", [...flags, "-c", join(include, `${name}.cpp`), "-o", join(folder, `${name}.o`)]);
  const results = await Promise.all(RUNTIME.map(compile));
  return { code: Math.max(...results.map(({ code }) => code)), output: results.map(({ output }) => output).join("") };
}

/** A name is that of a unit, which stands for all its builds, or of one build. */
function buildsNamed(name) {
  const units = unitNames();
  const all = units.flatMap(buildsOf);
  if (units.includes(name)) return buildsOf(name);
  const build = all.filter((one) => one.name === name);
  if (build.length > 0) return build;
  process.stderr.write(
    `build.mjs: no unit or build ${name}; there are: ${all.map((build) => build.name).join(", ")}\n`,
  );
  return undefined;
}

async function buildAll(names, version) {
  const wanted = names.length > 0 ? names.map(buildsNamed) : unitNames().map(buildsOf);
  if (wanted.includes(undefined)) return 2;
  if (!(await cached("verilator runtime", join(BUILD, "runtime"), version, compileRuntime))) return 1;
  for (const one of wanted.flat()) {
    const make = (folder) => run("verilator", verilatorArguments(one, folder));
    if (!(await cached(`verilator ${one.name}`, join(BUILD, one.name), hashOf(one, version), make))) return 1;
  }
  return 0;
}

// ---------------------------------------------------------------------------------------------------- add-ons

/** A lane of the MMU, the NQU, the SSMU's scan. */
const ADDONS = ["mmu-a8", "nqu", "ssmu"];

/** Why there can be none; installs cmake-js. */
function addonMissing() {
  if (spawnSync("cmake", ["--version"]).status !== 0) return "no CMake (firmware/tools/install.sh installs it)";
  return installPackages(ADDON, "cmake-js");
}

async function buildAddons(version) {
  const missing = addonMissing();
  if (missing !== undefined) {
    process.stderr.write(`${missing}\n`);
    return 3;
  }
  const builds = unitNames()
    .flatMap(buildsOf)
    .filter(({ name }) => ADDONS.includes(name));
  const own = readdirSync(ADDON, { withFileTypes: true }).filter((entry) => entry.isFile());
  const hash = createHash("sha256").update(builds.map((build) => hashOf(build, version)).join());
  for (const { name } of own) hash.update(readFileSync(join(ADDON, name)));
  const listed = builds.map(({ name, top, parameters, testbench }) =>
    [name, top, basename(testbench, ".cpp"), ...Object.entries(parameters).map((pair) => pair.join("="))].join("|"),
  );
  const script = join(ADDON, "node_modules", "cmake-js", "bin", "cmake-js");
  const make = (folder) =>
    run(process.execPath, [
      ...[script, "build", "--directory", ADDON, "--out", folder, "--parallel", String(JOBS)],
      ...[`--CDBUILDS=${listed.join(";")}`, `--CDARGUMENTS=${COMMON.join(";")}`],
    ]);
  return (await cached("verilator addon", join(BUILD, "addon"), hash.digest("hex"), make)) ? 0 : 1;
}

// ---------------------------------------------------------------------------------------------------- lint

async function lint() {
  const modules = moduleNames().map((top) => ({ name: top, top, parameters: {} }));
  const waiting = [...modules, ...unitNames().flatMap(buildsOf)];
  const total = waiting.length;
  let failed = 0;
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const parameters = Object.entries(next.parameters).map(([name, value]) => `-G${name}=${value}`);
      const args = ["--lint-only", ...WARNINGS, ...SEARCH, ...parameters, "--top-module", next.top];
      const { code, output } = await run("verilator", [...args, join(RTL, `${next.top}.sv`)]);
      if (code === 0 && output.trim() === "") continue;
      failed++;
      process.stdout.write(`${next.name}:\n${output.trimEnd()}\n`);
    }
  };
  await Promise.all(Array.from({ length: JOBS }, worker));
  process.stdout.write(`${total} tops, ${failed} with warnings\n`);
  return failed === 0 ? 0 : 1;
}

// ---------------------------------------------------------------------------------------------------- netlist

async function netlist([name, ...changes], version) {
  const build = unitNames()
    .flatMap(buildsOf)
    .find((one) => one.name === name);
  if (build === undefined || changes.some((change) => !/^[A-Z_]+=\d+$/.test(change))) {
    process.stderr.write(`build.mjs: --netlist takes a build and NAME=value, not: ${[name, ...changes].join(" ")}\n`);
    return 2;
  }
  const parameters = { ...build.parameters, ...Object.fromEntries(changes.map((change) => change.split("="))) };
  const changed = { ...build, parameters };
  const folder = join(BUILD, "netlist", [name, ...changes].join("+"));
  const make = (scratch) =>
    run("verilator", [
      ...["--xml-only", "--xml-output", join(scratch, "netlist.xml"), "-Mdir", scratch, ...WARNINGS, ...SEARCH],
      ...Object.entries(parameters).map(([key, value]) => `-G${key}=${value}`),
      ...["--top-module", build.top, join(RTL, `${build.top}.sv`)],
    ]);
  if (!(await cached(`verilator netlist ${basename(folder)}`, folder, hashOf(changed, version), make))) return 1;
  process.stdout.write(`${join(folder, "netlist.xml")}\n`);
  return 0;
}

// ---------------------------------------------------------------------------------------------------- main

const args = process.argv.slice(2);
const version = verilatorVersion();
if (version === undefined) {
  process.stderr.write("no Verilator (firmware/tools/install.sh installs it)\n");
  process.exitCode = 3;
} else {
  const verbs = {
    "--lint": lint,
    "--addon": () => buildAddons(version),
    "--netlist": () => netlist(args.slice(1), version),
  };
  process.exitCode = await (verbs[args[0]] ?? (() => buildAll(args, version)))();
}
