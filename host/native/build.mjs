/**
 * Compiles the add-on of the host's kernels: node host/native/build.mjs <file>. host/tools/setup.mjs calls it when something has changed.
 * Exit code 3: there are no kernels for this kind of machine, no C compiler, or one that cannot make them; WebAssembly does without.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const NATIVE = dirname(fileURLToPath(import.meta.url));
const HEADERS = join(NATIVE, "..", "..", "node_modules", "node-api-headers", "include");
const MISSING = 3;

const CC = process.env.CC ?? "cc";
// Warnings of compilers to come are no reason to do without.
const STRICT = process.env.LIGHTMAMBA_NO_SKIP === "1" ? ["-Werror"] : [];
const WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wstrict-prototypes", ...STRICT];
// Products and sums of FP64 are exact one by one: nothing may be contracted.
const FLAGS = ["-std=gnu11", "-O3", "-fPIC", "-ffp-contract=off", "-fvisibility=hidden", ...WARNINGS];
const AVX2 = ["-mavx2"];
const AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni"];
/** What is compiled for which instructions; at run time calls.c asks the processor. */
const OBJECTS = [
  ["native.c", ["-I", HEADERS]],
  ["calls.c", []],
  ["gemv.c", AVX2],
  ["gemm.c", AVX2],
  ["gemm.c", AVX512],
  ["rows.c", AVX2],
  ["nqu.c", AVX512],
  ["htu.c", AVX512],
  ["ssmu.c", AVX512],
  ["scan.c", AVX512],
];
const LINK = process.platform === "darwin" ? ["-bundle", "-undefined", "dynamic_lookup"] : ["-shared"];

function compile(args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(CC, args, { cwd, encoding: "utf8" });
  if (status === 0) return true;
  process.stderr.write(`${error?.message ?? `${stdout}${stderr}`.trimEnd()}\n`);
  return false;
}

function main([output]) {
  if (output === undefined) {
    process.stderr.write("usage: node host/native/build.mjs <file>\n");
    return 2;
  }
  if (process.arch !== "x64" || process.platform === "win32") {
    process.stderr.write(`there are no kernels for ${process.platform} ${process.arch}: WebAssembly does without\n`);
    return MISSING;
  }
  if (spawnSync(CC, ["--version"]).status !== 0) {
    process.stderr.write(`no C compiler (${CC}): WebAssembly does without, at half the speed\n`);
    return MISSING;
  }
  const scratch = mkdtempSync(join(resolve(dirname(output)), "objects-"));
  try {
    const made = OBJECTS.map(([source, flags], i) => {
      const object = join(scratch, `${i}.o`);
      return compile([...FLAGS, ...flags, "-c", join(NATIVE, source), "-o", object], scratch) ? object : undefined;
    });
    return !made.includes(undefined) && compile([...LINK, ...made, "-o", resolve(output)], scratch) ? 0 : MISSING;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

process.exitCode = main(process.argv.slice(2));
