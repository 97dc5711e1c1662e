/** yosys, the netlist of a part, and what is counted in it. */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LightMambaError } from "../../host/errors.ts";
import { ROOT } from "../paths.ts";
import { longestPath, type Netlist, type Path } from "./depth.ts";
import type { Part } from "./design.ts";

export function yosysMissing(): string | undefined {
  return spawnSync("yosys", ["-V"]).status === 0 ? undefined : "no yosys (firmware/tools/install.sh installs it)";
}

let version: string | undefined;

export function yosysVersion(): string {
  version ??= spawnSync("yosys", ["-V"], { encoding: "utf8" }).stdout.trim();
  return version;
}

export function runYosys(commands: readonly string[]): void {
  const missing = yosysMissing();
  if (missing !== undefined) throw new LightMambaError("prerequisite", missing);
  const { status, stderr } = spawnSync("yosys", ["-q", "-p", commands.join("; ")], { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) throw new Error(`yosys ended with ${status}: ${stderr.trim()}`);
}

export interface Size {
  /** LUT1 .. LUT6, inverters not counted, and those that serve as memory or shift register apart. */
  luts: number;
  memoryLuts: number;
  flipFlops: number;
  dsps: number;
  /** Of 36 kbit; those of 18 kbit are halves. */
  blockRams: number;
  ultraRams: number;
  path: Path;
}

/** Cells of UltraScale+ that are nothing of the table. */
const OTHERS = /^(CARRY4|INV|GND|VCC|BUFG)$/;
/** LUTs that a cell of LUT RAM takes. */
const MEMORY_LUTS: { readonly [type: string]: number } = {
  SRL16E: 1,
  SRLC16E: 1,
  SRLC32E: 1,
  RAM32X1S: 1,
  RAM64X1S: 1,
  RAM32X1D: 2,
  RAM64X1D: 2,
  RAM128X1S: 2,
  RAM128X1D: 4,
  RAM256X1S: 4,
  RAM256X1D: 8,
  RAM512X1S: 8,
  RAM32M: 4,
  RAM64M: 4,
  RAM32M16: 8,
  RAM64M8: 8,
};

export function sizeOf(netlist: Netlist): Size {
  const size: Size = {
    ...{ luts: 0, memoryLuts: 0, flipFlops: 0, dsps: 0, blockRams: 0, ultraRams: 0 },
    path: longestPath(netlist),
  };
  for (const { type } of Object.values(netlist.cells)) {
    if (/^LUT[1-6]$/.test(type)) size.luts++;
    else if (/^FD[RSCP]E$/.test(type)) size.flipFlops++;
    else if (type === "DSP48E2") size.dsps++;
    else if (type === "RAMB36E2") size.blockRams++;
    else if (type === "RAMB18E2") size.blockRams += 0.5;
    else if (type === "URAM288") size.ultraRams++;
    else if (type in MEMORY_LUTS) size.memoryLuts += MEMORY_LUTS[type]!;
    else if (!OTHERS.test(type) && !/(^|\\)lm_/.test(type)) {
      throw new Error(`a netlist has cells ${type}, which bench/size/yosys.ts does not know`);
    }
  }
  return size;
}

/** All that a size follows from beside the part and yosys. */
const METHOD = ["yosys.ts", "depth.ts", "tables.v"]
  .map((name) => readFileSync(join(import.meta.dirname, name), "utf8"))
  .join();
const SYNTHESIS = "synth_xilinx -family xcup -top part -flatten -nowidelut -noiopad -noclkbuf -uram";

/** Products whose register has the attribute use_dsp = "no", which yosys does not know, are kept from DSPs by another name for a while. */
function script(part: Part, rtlil: string, netlist: string): string[] {
  return [
    `read_rtlil ${rtlil}`,
    `hierarchy -top ${part.elaborated}`,
    "rename -top part",
    ...part.inner.map((name) => `blackbox ${name}`),
    `${SYNTHESIS} -run begin:prepare`,
    "proc",
    "flatten",
    "opt_expr",
    "opt_clean",
    "techmap -map bench/size/tables.v t:$shiftx",
    "setattr -set soft_mul 1 a:use_dsp=no %ci5 t:$mul %i",
    `${SYNTHESIS} -run prepare:map_dsp`,
    "chtype -set $__soft_mul a:soft_mul t:$mul %i",
    `${SYNTHESIS} -run map_dsp:check`,
    "setattr -unset src t:*",
    `write_json ${netlist}`,
  ];
}

/** The size of a part, from `cache` if it is there. */
export function measure(part: Part, rtlil: string, cache: string): Size {
  const saved = join(cache, `${createHash("sha256").update(part.hash).update(METHOD).digest("hex")}.json`);
  try {
    return JSON.parse(readFileSync(saved, "utf8")) as Size;
  } catch {
    // not there yet
  }
  const size = synthesize(part, rtlil);
  mkdirSync(cache, { recursive: true });
  writeFileSync(`${saved}.${process.pid}`, JSON.stringify(size));
  renameSync(`${saved}.${process.pid}`, saved);
  return size;
}

export function synthesize(part: Part, rtlil: string): Size {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-size-"));
  try {
    const netlist = join(folder, "part.json");
    runYosys(script(part, rtlil, netlist));
    return sizeOf(JSON.parse(readFileSync(netlist, "utf8")).modules.part);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
