/** Builds what runs on the A72, outside of the repository, and the counter; says what is missing. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { LightMambaError } from "../../host/errors.ts";
import type { WasmVariant } from "../../host/runtime/engine.ts";
import { BUILD, ROOT } from "../paths.ts";
import { findProgram, readProgram, runProgram, versionOf } from "../peers/programs.ts";
import { hashOfFile, hashOfFolder, type Steps } from "../peers/step.ts";
import type { Run } from "./counts.ts";

const TARGET = "aarch64-unknown-linux-gnu";
const SOURCES = join(ROOT, "bench", "a72");
const CROSS = { gcc: "aarch64-linux-gnu-gcc", libraries: "/usr/aarch64-linux-gnu" };
const EMULATOR = { name: "qemu-aarch64", cpu: "cortex-a72" };
const WASM: Record<WasmVariant, string> = { plain: "runtime.wasm", relaxed: "runtime.relaxed.wasm" };

export class Tools {
  readonly #steps: Steps;
  readonly #plugin: string;
  readonly #runner: string;
  readonly #compiler: string;
  /** What the counts depend on beside the runtime. */
  readonly versions: { qemu: string; rust: string };

  constructor(steps: Steps) {
    this.#steps = steps;
    const cc = findProgram(["cc", "gcc", "clang"], "a C compiler", "apt install gcc");
    findProgram([CROSS.gcc], "a C compiler for aarch64", "apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross");
    findProgram(["cargo"], "cargo", "https://rustup.rs");
    findProgram([EMULATOR.name], "QEMU's user mode", "apt install qemu-user");
    checkPlugins(steps.log("qemu"));
    this.versions = { qemu: versionOf(EMULATOR.name), rust: rustVersion(steps.log("rustc")) };
    this.#plugin = this.#buildPlugin(cc);
    this.#compiler = this.#buildRust("aot", "the compiler for the A72; minutes", ["debug"], []);
    this.#runner = this.#buildRust(
      "run",
      "the runner for the A72; minutes",
      [TARGET, "release"],
      ["--release", "--target", TARGET, "--config", `target.${TARGET}.linker="${CROSS.gcc}"`],
    );
  }

  #buildPlugin(cc: string): string {
    const source = join(SOURCES, "plugin", "count.c");
    const output = join(this.#steps.cache, "count.so");
    const version = `-DPLUGIN_VERSION=${pluginVersion(this.versions.qemu)}`;
    this.#steps.once("plugin", "the counter", [hashOfFile(source), version], [output], () => {
      const args = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", version, source, "-o", output];
      runProgram(cc, args, this.#steps.log("plugin"));
    });
    return output;
  }

  /** One program of the Cargo workspace; `folder` and `args` say for which machine. */
  #buildRust(name: string, about: string, folder: string[], args: string[]): string {
    const target = join(this.#steps.cache, "cargo");
    const output = join(target, ...folder, name);
    const made = [hashOfFolder(SOURCES, [".rs", ".toml", ".lock"]), this.versions.rust];
    this.#steps.once(`build-${name}`, about, made, [output], () => {
      const manifest = ["--manifest-path", join(SOURCES, "Cargo.toml")];
      const options = ["build", "--locked", ...manifest, "--target-dir", target, "-p", name, ...args];
      runProgram("cargo", options, this.#steps.log(`build-${name}`));
    });
    return output;
  }

  /** The runtime for plain ARMv8.0. */
  compile(variant: WasmVariant): string {
    const source = join(BUILD, WASM[variant]);
    const output = join(this.#steps.cache, `${variant}.cwasm`);
    const made = [hashOfFile(source), hashOfFile(this.#compiler)];
    this.#steps.once(`compile-${variant}`, `the ${variant} runtime, compiled for the A72`, made, [output], () => {
      runProgram(this.#compiler, [source, output], this.#steps.log("compile"));
    });
    return output;
  }

  /** Runs an image on the emulated processor, which refuses every instruction that the A72 does not have. */
  run(compiled: string, image: string): Run {
    const counter = join(this.#steps.cache, "counter");
    const emulator = ["-cpu", EMULATOR.cpu, "-L", CROSS.libraries, "-plugin", `${this.#plugin},to=${counter}`];
    const args = [...emulator, this.#runner, compiled, image, counter];
    return JSON.parse(readProgram(EMULATOR.name, args, this.#steps.log("run"))) as Run;
  }
}

function checkPlugins(log: string): void {
  if (readProgram(EMULATOR.name, ["--help"], log).includes("-plugin")) return;
  throw new LightMambaError("prerequisite", `${EMULATOR.name} takes no plug-ins`, {
    hint: "a QEMU built with --enable-plugins, as Debian's qemu-user is",
  });
}

/** Plug-ins of version 1 ended with QEMU 8. */
export function pluginVersion(qemu: string): number {
  const major = Number(/version (\d+)/.exec(qemu)?.[1]);
  return major < 9 ? 1 : 2;
}

/** Of the compiler that Cargo will take. */
function rustVersion(log: string): string {
  const rustc = process.env.RUSTC ?? "rustc";
  findProgram([rustc], "rustc", "https://rustup.rs");
  const library = readProgram(rustc, ["--print", "target-libdir", "--target", TARGET], log).trim();
  if (existsSync(library)) return versionOf(rustc);
  throw new LightMambaError("prerequisite", "Rust's standard library for aarch64 is missing", {
    file: library,
    hint: `rustup target add ${TARGET}, or RUSTC=<a compiler that has it>`,
  });
}
