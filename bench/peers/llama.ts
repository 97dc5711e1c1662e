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

export interface Llama {
  /** `llama-quantize IN OUT TYPE THREADS`. */
  quantize: string;
  /** Our program: peer.cpp. */
  peer: string;
  /** Hash of the archive. */
  source: string;
  /** What the compiler says of itself. */
  compiler: string;
}

export function buildLlama(steps: Steps, options: Options): Llama {
  const folder = join(steps.cache, REQUIREMENT.replace("==", "-"));
  mkdirSync(folder, { recursive: true });
  const archive = join(folder, ARCHIVE);
  const source = join(folder, "source");
  if (!existsSync(archive)) fetchArchive(steps, archive, options);
  steps.once("source", `unpacking ${ARCHIVE}`, [ARCHIVE_SHA256], [join(source, "vendor", "llama.cpp")], () =>
    unpack(steps, archive, source),
  );
  return compile(steps, source, join(folder, "build"), options.jobs);
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
function compile(steps: Steps, source: string, folder: string, jobs: number): Llama {
  const project = join(ROOT, "bench", "peers");
  const bin = join(folder, "bin");
  const llama = { quantize: join(bin, "llama-quantize"), peer: join(bin, "peer") };
  const hint = "on Debian and Ubuntu: apt-get install cmake make g++";
  const compiler = versionOf(findProgram(["c++", "g++", "clang++"], "a C++ compiler", hint));
  // Built for this very processor, so a cache that moved to another one is built again.
  const inputs = [
    ARCHIVE_SHA256,
    compiler,
    cpus()[0]?.model ?? "",
    ...["CMakeLists.txt", "peer.cpp"].map((name) => hashOfFile(join(project, name))),
  ];
  steps.once("build", "building llama.cpp (minutes)", inputs, Object.values(llama), () => {
    const cmake = findProgram(["cmake"], "cmake", hint);
    findProgram(["make", "ninja"], "make", hint);
    const log = steps.log("build");
    runProgram(cmake, ["-S", project, "-B", folder, `-DLLAMA_SOURCE=${join(source, "vendor", "llama.cpp")}`], log);
    const targets = ["llama-quantize", "peer"];
    runProgram(cmake, ["--build", folder, "--parallel", String(jobs), "--target", ...targets], log);
  });
  return { ...llama, source: ARCHIVE_SHA256, compiler };
}
