/** llama.cpp: its sources, as the Python package llama-cpp-python ships them, and what is built from them. */

import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { LightMambaError } from "../../host/errors.ts";
import { ROOT } from "../paths.ts";
import type { Options } from "./options.ts";
import { findProgram, runProgram, versionOf } from "./programs.ts";
import { hashOfFile, type Steps } from "./step.ts";

export const LLAMA_VERSION = "llama-cpp-python 0.3.36";
const REQUIREMENT = "llama-cpp-python==0.3.36";
const ARCHIVE = "llama_cpp_python-0.3.36.tar.gz";
const ARCHIVE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e";

/** What its kernels may use: all that this processor has, or what every processor with AVX2 has. */
export const PEER_ISAS = ["native", "avx2"] as const;
export type PeerIsa = (typeof PEER_ISAS)[number];

const CMAKE_FLAGS: Record<PeerIsa, readonly string[]> = {
  native: [],
  avx2: [
    ...["-DGGML_NATIVE=OFF", "-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON"],
    ...["-DGGML_AVX_VNNI=OFF", "-DGGML_AVX512=OFF"],
  ],
};

export interface Llama {
  isa: PeerIsa;
  /** `llama-quantize IN OUT TYPE THREADS`. */
  quantize: string;
  /** Our program: peer.cpp. */
  peer: string;
  /** Hash of the archive. */
  source: string;
  /** What the compiler says of itself. */
  compiler: string;
}

export function buildLlama(steps: Steps, options: Options, isa: PeerIsa = "native"): Llama {
  const folder = join(steps.cache, REQUIREMENT.replace("==", "-"));
  mkdirSync(folder, { recursive: true });
  const archive = join(folder, ARCHIVE);
  const source = join(folder, "source");
  if (!existsSync(archive)) fetchArchive(steps, archive, options);
  steps.once("source", `unpacking ${ARCHIVE}`, [ARCHIVE_SHA256], [join(source, "vendor", "llama.cpp")], () =>
    unpack(steps, archive, source),
  );
  return compile(steps, source, folder, isa, options.jobs);
}

/** By pip, which knows where its index is; checked against the hash, and named as the archive only then. */
function fetchArchive(steps: Steps, archive: string, { sdist }: Options): void {
  const unchecked = `${archive}.unchecked`;
  if (sdist !== undefined) copyFileSync(sdist, unchecked);
  else renameSync(download(steps, `${archive}.download`), unchecked);
  const found = hashOfFile(unchecked);
  if (found !== ARCHIVE_SHA256) {
    rmSync(unchecked);
    throw new LightMambaError("verification", "not the archive this benchmark was made for", {
      file: sdist ?? ARCHIVE,
      expected: ARCHIVE_SHA256,
      found,
    });
  }
  renameSync(unchecked, archive);
}

function download(steps: Steps, folder: string): string {
  const hint = "install Python 3 with pip, or give the archive: --sdist <file>";
  const python = findProgram(["python3", "python"], "Python", hint);
  const archive = join(folder, ARCHIVE);
  steps.once("download", `downloading ${REQUIREMENT} (77 MB)`, [ARCHIVE_SHA256], [archive], () => {
    try {
      runProgram(python, ["-m", "pip", "--version"], steps.log("download"));
    } catch {
      throw new LightMambaError("prerequisite", "pip is missing", { expected: `${python} -m pip`, hint });
    }
    const args = ["download", "--no-deps", "--no-binary", ":all:", "--dest", folder, REQUIREMENT];
    runProgram(python, ["-m", "pip", ...args], steps.log("download"));
  });
  return archive;
}

/** Beside its place and then moved there, so that half an archive is never built. */
function unpack(steps: Steps, archive: string, target: string): void {
  const tar = findProgram(["tar"], "tar", "install tar");
  const temporary = `${target}.tmp`;
  for (const folder of [temporary, target]) rmSync(folder, { recursive: true, force: true });
  mkdirSync(temporary);
  runProgram(tar, ["xzf", archive, "--strip-components=1", "-C", temporary], steps.log("source"));
  renameSync(temporary, target);
}

/** Interrupted, it goes on where it stopped: make knows what is done. */
function compile(steps: Steps, source: string, folder: string, isa: PeerIsa, jobs: number): Llama {
  const project = join(ROOT, "bench", "peers");
  const step = isa === "native" ? "build" : `build-${isa}`;
  const target = join(folder, step);
  const bin = join(target, "bin");
  const llama = { quantize: join(bin, "llama-quantize"), peer: join(bin, "peer") };
  const hint = "on Debian and Ubuntu: apt-get install cmake make g++";
  const compiler = versionOf(findProgram(["c++", "g++", "clang++"], "a C++ compiler", hint));
  // Built for this very processor, so a cache that moved to another one is built again.
  const inputs = [
    ARCHIVE_SHA256,
    compiler,
    cpus()[0]?.model ?? "",
    ...CMAKE_FLAGS[isa],
    ...["CMakeLists.txt", "peer.cpp"].map((name) => hashOfFile(join(project, name))),
  ];
  steps.once(step, `building llama.cpp, ${isa} (minutes)`, inputs, Object.values(llama), () => {
    const cmake = findProgram(["cmake"], "cmake", hint);
    findProgram(["make", "ninja"], "make", hint);
    const log = steps.log(step);
    const sources = `-DLLAMA_SOURCE=${join(source, "vendor", "llama.cpp")}`;
    runProgram(cmake, ["-S", project, "-B", target, sources, ...CMAKE_FLAGS[isa]], log);
    const targets = ["llama-quantize", "peer"];
    runProgram(cmake, ["--build", target, "--parallel", String(jobs), "--target", ...targets], log);
  });
  return { isa, ...llama, source: ARCHIVE_SHA256, compiler };
}
