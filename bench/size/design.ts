/** What a build of lm_top is made of: its parts, modules that are synthesised each by itself, and how many of each there are. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BOARDS } from "../../host/device/boards.generated.ts";
import { ROOT } from "../paths.ts";
import { runYosys, yosysVersion } from "./yosys.ts";

const RTL = join("firmware", "rtl");
export const TOP = "lm_top";

/** Where the hierarchy is cut, and whose row of the table a part belongs to. What else a part uses is flattened into it. */
export const UNITS: { readonly [module: string]: string } = {
  lm_top: "lm_top itself",
  lm_regs: "commands",
  lm_cmd: "commands",
  lm_axi_rd: "masters",
  lm_axi_wr: "masters",
  lm_axi_rd_mux: "masters",
  lm_axi_wr_mux: "masters",
  lm_state_port: "masters",
  lm_copy: "COPY",
  lm_embed_unit: "EMBED",
  lm_mmu_unit: "MMU",
  lm_mmu_lane: "MMU",
  lm_rows: "MMU",
  lm_ssmu_unit: "SSMU",
  lm_ssmu: "SSMU",
  lm_state_group: "SSMU",
  lm_gate: "SSMU",
  lm_htu_unit: "HTU",
  lm_nqu_unit: "NQU",
};

export interface Build {
  name: string;
  /** Of lm_top. */
  parameters: { [name: string]: number };
}

/** Of lm_top, where a build need not say. */
const DEFAULTS: { readonly [name: string]: number } = { state_lanes: 2, state_ports: 0, multiplies: 1 };

type Board = (typeof BOARDS)[keyof typeof BOARDS];

/** lm_top as a board's file asks for it. */
export function buildOf(
  name: string,
  { build }: { readonly build: { readonly [name in keyof Board["build"]]: number } },
  changes: { [name: string]: number } = {},
): Build {
  const { lanes, ...rest } = build;
  const said = Object.entries(rest).filter(([key, value]) => DEFAULTS[key] !== value);
  const parameters = Object.fromEntries(said.map(([key, value]) => [key.toUpperCase(), value]));
  return { name, parameters: { PORTS: lanes, ...parameters, ...changes } };
}

export interface Part {
  module: string;
  /** yosys' name of the module with these parameters. */
  elaborated: string;
  count: number;
  /** yosys' names of the parts in it. */
  inner: string[];
  /** Of all that its netlist follows from. */
  hash: string;
  /** Cells before synthesis, a measure of the time that it takes. */
  cells: number;
}

/** The parts of a build, in the order of UNITS; `rtlil` gets the elaborated design. */
export function elaborate({ parameters }: Build, rtlil: string): Part[] {
  const values = Object.entries(parameters).map(([name, value]) => `-chparam ${name} ${value}`);
  runYosys([
    `read_verilog -sv -defer -I${RTL}/include ${sources().join(" ")}`,
    `hierarchy -top ${TOP} ${values.join(" ")}`,
    `write_rtlil ${rtlil}`,
  ]);
  const modules = readModules(readFileSync(rtlil, "utf8"));
  const counts = new Map<string, number>();
  const count = (name: string, times: number) => {
    if (nameOf(name) in UNITS) counts.set(name, (counts.get(name) ?? 0) + times);
    for (const [child, here] of modules.get(name)!.children) count(child, times * here);
  };
  count(`\\${TOP}`, 1);
  const parts = [...counts].map(([elaborated, count]) => ({
    ...{ module: nameOf(elaborated), elaborated, count },
    ...contentOf(elaborated, modules, parameters),
  }));
  const order = Object.keys(UNITS);
  return parts.sort(
    (a, b) => order.indexOf(a.module) - order.indexOf(b.module) || (a.elaborated < b.elaborated ? -1 : 1),
  );
}

function sources(): string[] {
  const files = readdirSync(join(ROOT, RTL)).filter((name) => name.endsWith(".sv"));
  return files.sort().map((name) => join(RTL, name));
}

interface Module {
  /** Elaborated modules that it instantiates, and how often. */
  children: Map<string, number>;
  cells: number;
}

export function readModules(text: string): Map<string, Module> {
  const modules = new Map<string, Module>();
  let module: Module = { children: new Map(), cells: 0 };
  for (const [, keyword, name] of text.matchAll(/^ *(module|cell) (\S+)/gm)) {
    if (keyword === "module") {
      module = { children: new Map(), cells: 0 };
      modules.set(name!, module);
    } else if (/\\lm_/.test(name!)) module.children.set(name!, (module.children.get(name!) ?? 0) + 1);
    else module.cells++;
  }
  return modules;
}

/** "$paramod$…\lm_fifo", "$paramod\lm_fifo\WIDTH=…" and "\lm_fifo" are lm_fifo. */
export function nameOf(elaborated: string): string {
  return /\\(lm_\w+)/.exec(elaborated)![1]!;
}

function contentOf(
  part: string,
  modules: ReadonlyMap<string, Module>,
  parameters: Build["parameters"],
): Pick<Part, "inner" | "hash" | "cells"> {
  const files = new Set<string>();
  const inner = new Set<string>();
  const gather = (name: string): number => {
    files.add(join(RTL, `${nameOf(name)}.sv`));
    let cells = modules.get(name)!.cells;
    for (const [child, times] of modules.get(name)!.children) {
      if (nameOf(child) in UNITS) inner.add(child);
      else cells += times * gather(child);
    }
    return cells;
  };
  const cells = gather(part);
  const hash = createHash("sha256").update(yosysVersion()).update(part);
  // Names of elaborated modules have their parameters in them, but for the top's
  if (nameOf(part) === TOP) hash.update(JSON.stringify(parameters));
  // Of those it has only the ports
  for (const name of inner) files.add(join(RTL, `${nameOf(name)}.sv`));
  for (const name of readdirSync(join(ROOT, RTL, "include")).sort()) files.add(join(RTL, "include", name));
  for (const file of [...files].sort()) hash.update(file).update(contents(file)).update("\0");
  return { inner: [...inner], hash: hash.digest("hex"), cells };
}

/** Without comments, which change no netlist. */
function contents(file: string): string {
  const path = join(ROOT, file);
  if (!existsSync(path)) throw new Error(`${file}: no file has this module`);
  return readFileSync(path, "utf8").replaceAll(/\/\/.*$/gm, "");
}
