/**
 * Builds the board's program, and the runtime compiled ahead of time for it.
 *
 *   node firmware/runner/build.mjs --target aarch64|native
 *   node firmware/runner/build.mjs --target native --test
 *
 * Prints one line of JSON, { "runner": …, "cwasm": { "relaxed": …, "plain": … }, "components": […] }. aarch64 is the board: ARMv8.0, linked statically;
 * native is this machine, for tests. --test runs the tests in the sources instead, on this machine, and prints what they say. Exit code 1: it cannot be built, and why; 2: usage; 3: a program that it needs is missing.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CACHE, end, folderOf, hashOf, MissingError, ROOT, run } from "../system/shell.mjs";
import { rustFor } from "./rust.mjs";

const RUNNER = dirname(fileURLToPath(import.meta.url));
const CARGO = join(CACHE, "runner", "cargo");
const HOST = { x64: "x86_64-unknown-linux-gnu", arm64: "aarch64-unknown-linux-gnu" }[process.arch];
const BOARD = "aarch64-unknown-linux-gnu";
const LINKER = "aarch64-linux-gnu-gcc";
/** The runtime's variants, as files in build/. */
const WASM = { relaxed: "runtime.relaxed.wasm", plain: "runtime.wasm" };

/** Tests run what is built quickly, the board what is small. */
const TARGETS = {
  native: { triple: HOST, profile: "debug", args: [], env: {} },
  aarch64: {
    triple: BOARD,
    profile: `${BOARD}/release`,
    args: ["--release", "--target", BOARD],
    env: {
      [`CARGO_TARGET_${BOARD.toUpperCase().replaceAll("-", "_")}_LINKER`]: LINKER,
      [`CC_${BOARD.replaceAll("-", "_")}`]: LINKER,
      RUSTFLAGS: "-C target-feature=+crt-static -C target-cpu=cortex-a72",
    },
  },
};

function sources() {
  const below = (folder, extensions) =>
    readdirSync(folder, { recursive: true })
      .map((name) => join(folder, name))
      .filter((path) => extensions.includes(extname(path)) && statSync(path).isFile())
      .sort();
  const driver = join(ROOT, "firmware", "dma");
  return [
    ...below(RUNNER, [".rs", ".toml", ".lock", ".c", ".mjs"]),
    ...readdirSync(driver)
      .filter((name) => /\.[ch]$/.test(name))
      .sort()
      .map((name) => join(driver, name)),
    ...below(join(ROOT, "firmware", "include"), [".h"]),
    ...Object.values(WASM).map((name) => join(ROOT, "build", name)),
  ];
}

function cargo(args, env = {}) {
  return run("cargo", args, { cwd: RUNNER, env: { CARGO_TARGET_DIR: CARGO, ...env } });
}

async function build(name) {
  const { triple, profile, args, env } = TARGETS[name];
  if (!existsSync(join(ROOT, "build", WASM.plain))) throw new MissingError("no runtime: npm run build");
  run("cargo", ["--version"]);
  if (name === "aarch64") run(LINKER, ["--version"]);
  const rust = await rustFor(triple);
  const hash = hashOf([name, rust.version], sources());
  const folder = await folderOf(`runner for ${name}`, join(ROOT, "build", "runner", name), hash, (scratch) => {
    cargo(["build", "--locked", "-p", "aot"]);
    const objects = join(CACHE, "runner", rust.cargo);
    cargo(["build", "--locked", "-p", "runner", ...args], { ...env, ...rust.env, CARGO_TARGET_DIR: objects });
    copyFileSync(join(objects, profile, "lightmamba"), join(scratch, "lightmamba"));
    mkdirSync(join(scratch, "cwasm"));
    for (const [variant, file] of Object.entries(WASM))
      run(join(CARGO, "debug", "aot"), [triple, join(ROOT, "build", file), join(scratch, "cwasm", `${variant}.cwasm`)]);
    writeFileSync(join(scratch, "components.json"), `${JSON.stringify(components(triple), undefined, 2)}\n`);
  });
  return {
    runner: join(folder, "lightmamba"),
    cwasm: Object.fromEntries(Object.keys(WASM).map((one) => [one, join(folder, "cwasm", `${one}.cwasm`)])),
    components: JSON.parse(readFileSync(join(folder, "components.json"), "utf8")),
  };
}

/** Its own tests: what does not show from outside. */
async function test() {
  const { env, cargo: folder } = await rustFor(TARGETS.native.triple);
  const target = { ...env, CARGO_TARGET_DIR: join(CACHE, "runner", folder) };
  return {
    passed: cargo(["test", "--locked", "-p", "runner", "-p", "cwasm"], target).match(/^test .* ok$/gm)?.length ?? 0,
  };
}

/** Everybody's crates in the program, with versions and licences; ours first. */
function components(triple) {
  const metadata = JSON.parse(cargo(["metadata", "--locked", "--format-version", "1", "--filter-platform", triple]));
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
  const found = new Set();
  const visit = (id) => {
    if (found.has(id)) return;
    found.add(id);
    for (const { pkg, dep_kinds } of nodes.get(id).deps) if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg);
  };
  visit(metadata.packages.find(({ name }) => name === "runner").id);
  const crates = metadata.packages.filter(({ id, source }) => found.has(id) && source !== null);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const files = ["usr/bin/lightmamba"];
  return [
    {
      name: "lightmamba-runner",
      version,
      licence: "Apache-2.0",
      source: "firmware/runner",
      files,
      sha256: hashOf([], sources()),
    },
    ...crates
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, version, license }) => {
        const sha256 = checksums().get(`${name} ${version}`);
        return { name, version, licence: license.replaceAll("/", " OR "), source: "crates.io", files, sha256 };
      }),
  ];
}

let locked;
function checksums() {
  const text = () => readFileSync(join(RUNNER, "Cargo.lock"), "utf8");
  const entry = /name = "(.*)"\nversion = "(.*)"\nsource = .*\nchecksum = "(.*)"/g;
  locked ??= new Map([...text().matchAll(entry)].map(([, name, version, sha256]) => [`${name} ${version}`, sha256]));
  return locked;
}

function optionsOf(args) {
  try {
    const { values } = parseArgs({ args, options: { target: { type: "string" }, test: { type: "boolean" } } });
    const { target, test } = values;
    return target in TARGETS && (!test || target === "native") ? values : undefined;
  } catch {
    return undefined;
  }
}

function main(args) {
  const options = optionsOf(args);
  if (options === undefined) {
    process.stderr.write(
      `usage: node firmware/runner/build.mjs --target ${Object.keys(TARGETS).join("|")} | --target native --test\n`,
    );
    return 2;
  }
  return end(() => (options.test ? test() : build(options.target)));
}

process.exitCode = await main(process.argv.slice(2));
