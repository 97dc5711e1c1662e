/** The C library's own tests (firmware/dma/test), as they are, under sanitizers and under Valgrind. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { simulatorPath } from "../../host/device/index.ts";
import { skipReason as skipSimulation } from "../rtl/support.ts";
import { builtPath, skipReason } from "./support.ts";

const SIMULATOR = "simulator: ";
const VALGRIND = ["--quiet", "--error-exitcode=9", "--leak-check=full", "--child-silent-after-fork=yes"];

interface Case {
  name: string;
  simulated: boolean;
}

function casesOf(program: string): Case[] {
  const { stdout } = spawnSync(program, ["--list"], { encoding: "utf8" });
  const lines = stdout.trim().split("\n");
  assert.ok(lines.length > 15, stdout);
  return lines.map((line) => ({ name: line.replace(SIMULATOR, ""), simulated: line.startsWith(SIMULATOR) }));
}

function noValgrind(): string | false {
  const { status } = spawnSync("valgrind", ["--version"]);
  return status === 0 ? false : "no Valgrind (firmware/tools/install.sh installs it)";
}

function runCases(build: string, prefix: readonly string[] = [], simulated = true): void {
  const program = builtPath(build, "lm_dma_test");
  for (const one of casesOf(program)) {
    if (one.simulated && !simulated) continue;
    const skip = one.simulated && skipSimulation("top");
    it(`${one.simulated ? SIMULATOR : ""}${one.name}`, { skip }, () => {
      const [first = program, ...rest] = [...prefix, program, one.name, simulatorPath("top")];
      const { status, signal, stderr, error } = spawnSync(first, rest, { encoding: "utf8", timeout: 120_000 });
      assert.equal(status, 0, `${error ?? ""}${signal ?? ""}\n${stderr}`);
    });
  }
}

for (const build of ["plain", "sanitize"]) {
  const skip = skipReason(build);
  describe(`lm_dma, ${build}`, { skip }, () => {
    if (!skip) runCases(build);
  });
}

const skip = skipReason("plain") || noValgrind();
describe("lm_dma under Valgrind", { skip }, () => {
  // Valgrind does not know the simulator's memory; these cases say nothing more under it
  if (!skip) runCases("plain", ["valgrind", ...VALGRIND], false);
});
