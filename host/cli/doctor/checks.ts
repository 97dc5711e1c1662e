import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import { addonPath, hasRtl, verilatorVersion } from "../../device/index.ts";
import { hasSystem } from "../../image/components.ts";
import { missingPrograms } from "../../image/programs.ts";
import { EMBEDDED_MODEL, packageRoot } from "../../package.ts";
import { kernelsPath, nativeKernels } from "../../runtime/native.ts";
import { loadTokenizer } from "../../tokenizer/index.ts";
import { probeRelaxedDot, probeSimd } from "./engine.ts";

export interface Finding {
  name: string;
  status: "ok" | "warn" | "fail";
  /** What was found. */
  text: string;
  /** What to do about it; only with warn and fail. */
  remedy?: string;
}

type Verdict = Omit<Finding, "name">;

const MIB = 1024 * 1024;

function checkNode(): Verdict {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const text = `Node ${process.versions.node}, V8 ${process.versions.v8}, ${process.platform} ${process.arch}`;
  if (major > 20 || (major === 20 && minor >= 19)) return { status: "ok", text };
  return { status: "fail", text, remedy: "install Node 20.19 or newer" };
}

function checkSimd(): Verdict {
  const simd = probeSimd();
  if (simd === "correct") return { status: "ok", text: "128-bit SIMD works" };
  const remedy = "use another Node version; on old processors without SSE4.1 nothing helps";
  return { status: "fail", text: `128-bit SIMD is ${simd}`, remedy };
}

function checkRelaxedSimd(): Verdict {
  const relaxed = probeRelaxedDot();
  if (relaxed === "correct") return { status: "ok", text: "relaxed SIMD works, its dot product is exact" };
  if (relaxed === "missing") {
    const remedy = "Node 21 or newer has it; the plain SIMD runtime gives the same bits more slowly";
    return { status: "warn", text: "relaxed SIMD is missing", remedy };
  }
  return { status: "fail", text: "the relaxed dot product gives wrong sums", remedy: "use another Node version" };
}

function checkKernels(): Verdict {
  const kernels = nativeKernels();
  if (kernels !== undefined) return { status: "ok", text: `the processor's own vectors are used: ${kernels.isa}` };
  const remedy = "npm run build with a C compiler, on x64 with AVX2; WebAssembly gives the same bits at half the speed";
  return { status: "warn", text: `no kernels for this processor at ${kernelsPath()}`, remedy };
}

/** What is wrong with a built module, if anything. */
function moduleFault(name: string, usable: boolean): string | undefined {
  const file = join(packageRoot(), "build", name);
  if (!existsSync(file)) return `build/${name} is missing`;
  return !usable || WebAssembly.validate(readFileSync(file)) ? undefined : `build/${name} is not valid for this engine`;
}

function checkModules(): Verdict {
  // An engine without relaxed SIMD cannot judge that module, and has been warned of already.
  const relaxed = probeRelaxedDot() !== "missing";
  const faults = [
    moduleFault("runtime.wasm", true),
    moduleFault("offline.wasm", true),
    moduleFault("runtime.relaxed.wasm", relaxed),
    moduleFault("runtime.native.wasm", relaxed),
  ].filter((fault) => fault !== undefined);
  if (faults.length === 0) return { status: "ok", text: "runtime, relaxed, native and offline modules are built" };
  return { status: "fail", text: faults.join("; "), remedy: "npm run build" };
}

function checkModel(): Verdict {
  const dir = join(packageRoot(), EMBEDDED_MODEL);
  const files = ["config.json", "tokenizer.json", "quantization.json", "model.safetensors"];
  const missing = files.filter((name) => !existsSync(join(dir, name)));
  if (missing.length === 0) return { status: "ok", text: `${EMBEDDED_MODEL} is complete` };
  return {
    status: "fail",
    text: `${EMBEDDED_MODEL} lacks ${missing.join(", ")}`,
    remedy: "restore it from the package or the repository",
  };
}

const SAMPLE = "It’s naïve, 日本 👩‍👧.\n";

function checkTokenizer(): Verdict {
  try {
    const tokenizer = loadTokenizer(join(packageRoot(), EMBEDDED_MODEL));
    if (tokenizer.decode(tokenizer.encode(SAMPLE)) === SAMPLE) {
      return { status: "ok", text: `tokenizer loads, ${tokenizer.size} tokens` };
    }
    return {
      status: "fail",
      text: "the tokenizer does not give a text back as it was",
      remedy: "reinstall the package",
    };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return {
      status: "fail",
      text: `tokenizer: ${text}`,
      remedy: "restore the file from the package or the repository",
    };
  }
}

function checkMemory(): Verdict {
  // Also honours a container's limit, which freemem does not; new in Node 20.13.
  const free = Math.floor((process.availableMemory?.() ?? freemem()) / MIB);
  if (free >= 2048) return { status: "ok", text: `${free} MiB of memory free` };
  if (free >= 256) {
    return {
      status: "warn",
      text: `${free} MiB of memory free`,
      remedy: "enough for small models; 2.7B needs about 2 GiB",
    };
  }
  return { status: "fail", text: `${free} MiB of memory free`, remedy: "close other programs: 256 MiB are needed" };
}

/** Only run --device rtl needs it. */
function checkSimulation(): Verdict {
  if (!hasRtl()) {
    const text = "this installation has no RTL: run --device rtl is not possible";
    return { status: "warn", text, remedy: "clone the repository where you want to simulate the accelerator" };
  }
  const version = verilatorVersion();
  if (version !== undefined) return { status: "ok", text: `the accelerator can be simulated, with ${version}` };
  const text = "there is no Verilator: run --device rtl is not possible";
  return { status: "warn", text, remedy: "firmware/tools/install.sh installs it" };
}

/** Only image needs it. */
function checkImages(): Verdict {
  if (!hasSystem()) {
    const text = "this installation has no sources of the board's software: image build is not possible";
    return { status: "warn", text, remedy: "clone the repository where you want to build SD card images" };
  }
  const missing = missingPrograms();
  if (missing.length === 0) return { status: "ok", text: "SD card images can be built and booted" };
  const text = `there is no ${missing.join(", ")}: image is not possible, or not all of it`;
  return { status: "warn", text, remedy: "firmware/tools/install.sh installs it" };
}

/** Only --device board needs it. */
function checkBoard(): Verdict {
  const nodes = existsSync("/dev") ? readdirSync("/dev").filter((name) => /^uio\d+$/.test(name)) : [];
  if (nodes.length === 0) return { status: "ok", text: "no board here: there is no /dev/uio*" };
  const paths = nodes.map((name) => `/dev/${name}`);
  const closed = paths.filter((path) => !mayUse(path));
  const text = `UIO nodes: ${paths.join(", ")}`;
  if (closed.length === paths.length) {
    return { status: "warn", text: `${text}; none may be opened`, remedy: "run as a user who may read and write them" };
  }
  if (existsSync(addonPath())) return { status: "ok", text: `${text}; the add-on for boards is built` };
  return { status: "warn", text: `${text}; the add-on for boards is not built`, remedy: "npm run build:dma" };
}

function mayUse(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const CHECKS: [name: string, check: () => Verdict][] = [
  ["node", checkNode],
  ["simd", checkSimd],
  ["relaxed-simd", checkRelaxedSimd],
  ["modules", checkModules],
  ["kernels", checkKernels],
  ["model", checkModel],
  ["tokenizer", checkTokenizer],
  ["memory", checkMemory],
  ["simulation", checkSimulation],
  ["images", checkImages],
  ["board", checkBoard],
];

export function examine(): Finding[] {
  return CHECKS.map(([name, check]) => ({ name, ...check() }));
}
