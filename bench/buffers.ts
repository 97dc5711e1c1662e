/**
 * Bytes that the RTL keeps on chip, unit by unit, as Verilator elaborates a build: every array of words. None of it is a copy of the RTL's
 * numbers. What a synthesizer makes of an array (LUT, BRAM, URAM, registers) is not known here.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Column } from "../host/bench/table.ts";
import { LightMambaError } from "../host/errors.ts";
import { type Module, type Netlist, parseNetlist } from "../host/tools/netlist.ts";
import { ROOT } from "./paths.ts";

/** Smaller arrays are registers. */
const LEAST_BITS = 1024;

/** Masters count with their unit; of the MMU's those that read weights ahead are apart. */
export const BUFFER_UNITS = ["weights", "MMU", "SSMU", "HTU", "NQU", "other"] as const;
export type Buffers = { [unit in (typeof BUFFER_UNITS)[number]]: number };

const known = new Map<string, Buffers>();

/** Bytes of each unit of a build of firmware/rtl, with other parameters where they are given. */
export function buffersOf(build: string, parameters: { [name: string]: number } = {}): Buffers {
  const names = [build, ...Object.entries(parameters).map(([name, value]) => `${name}=${value}`)];
  const key = names.join(" ");
  const buffers = known.get(key) ?? unitBuffers(netlistOf(names));
  known.set(key, buffers);
  return buffers;
}

function netlistOf(names: readonly string[]): Netlist {
  const args = ["firmware/rtl/build.mjs", "--netlist", ...names];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) throw new LightMambaError("prerequisite", stderr.trim());
  return parseNetlist(readFileSync(stdout.trim(), "utf8"));
}

export function unitBuffers({ top, modules }: Netlist): Buffers {
  const buffers: Buffers = { weights: 0, MMU: 0, SSMU: 0, HTU: 0, NQU: 0, other: bitsOf(top.memories) };
  for (const { name, module } of top.instances) {
    const bits = bitsBelow(modules, module);
    if (bits > 0) buffers[ownerOf(top, name)] += bits;
  }
  for (const unit of BUFFER_UNITS) buffers[unit] /= 8;
  return buffers;
}

export const totalOf = (buffers: Buffers) => BUFFER_UNITS.reduce((sum, unit) => sum + buffers[unit], 0);

function bitsOf(memories: Module["memories"]): number {
  const sizes = memories.map(({ words, bits }) => words * bits);
  return sizes.reduce((sum, size) => sum + (size < LEAST_BITS ? 0 : size), 0);
}

function bitsBelow(modules: Netlist["modules"], key: string): number {
  const { memories, instances } = modules.get(key)!;
  return instances.reduce((sum, { module }) => sum + bitsBelow(modules, module), bitsOf(memories));
}

/** What an instance in lm_top belongs to; which unit a master of port 0 has, the RTL says itself (reader_of, writer_of). */
function ownerOf({ parameters }: Module, name: string): keyof Buffers {
  const units = new Map(["COPY", "MMU", "SSMU", "HTU", "NQU", "EMBED"].map((unit) => [parameters.get(unit), unit]));
  const master = /^g_(rd|wr)\[(\d+)\]\.u_/.exec(name);
  if (/^g_port\[\d+\]\./.test(name)) return "weights";
  if (master?.[1] === "rd" && Number(master[2]) === parameters.get("RD_WEIGHTS")) return "weights";
  const unit = master
    ? units.get(parameters.get(`g_${master[1]}_of[${master[2]}].U`))
    : /^g_(\w+)\.u_unit$/.exec(name)?.[1]?.toUpperCase();
  return unit === "MMU" || unit === "SSMU" || unit === "HTU" || unit === "NQU" ? unit : "other";
}

// ------------------------------------------------------------------------------------------------------------ report

/** Bytes of an UltraRAM: 4096 words of 72 bits. */
const URAM = 36864;

export interface BuildRow {
  build: string;
  /** Whether the report's cycles come from it. */
  measured: boolean;
  buffers: Buffers;
  total: number;
  /** UltraRAMs that so many bytes fill, at least. */
  uram: number;
}

/** Builds whose cycles the report has, and what each idea costs: the largest without it. */
const BUILDS: readonly { title: string; build: string; parameters?: { [name: string]: number } }[] = [
  { title: "1 port", build: "top" },
  { title: "4 ports", build: "top-p4" },
  { title: "6 ports", build: "top-p6" },
  { title: "6 ports, for passes of 2 tokens", build: "top-p6", parameters: { TOKENS: 2 } },
  { title: "6 ports, for passes of 1 token", build: "top-p6", parameters: { TOKENS: 1 } },
  { title: "6 ports, 64 beats read ahead", build: "top-p6", parameters: { PREFETCH: 64 } },
  { title: "6 ports, activations of 5 bits at most", build: "top-p6", parameters: { ACT_BITS: 5 } },
  // COPY, MMU, SSMU
  { title: "6 ports, split partition alone", build: "top-p6", parameters: { PRESENT: 15 } },
];

export function buildRows(): BuildRow[] {
  return BUILDS.map(({ title, build, parameters }) => {
    const buffers = buffersOf(build, parameters);
    const total = totalOf(buffers);
    return { build: title, measured: parameters === undefined, buffers, total, uram: total / URAM };
  });
}

export const kilobytes = (bytes: number) => (bytes / 1000).toFixed(1);

export const BUILD_COLUMNS: readonly Column<BuildRow>[] = [
  { title: "kB on chip", left: true, cell: ({ build }) => build },
  { title: "measured", left: true, cell: ({ measured }) => (measured ? "yes" : "no") },
  ...BUFFER_UNITS.map((unit) => ({ title: unit, cell: ({ buffers }: BuildRow) => kilobytes(buffers[unit]) })),
  { title: "together", cell: ({ total }) => kilobytes(total) },
  { title: "URAM", cell: ({ uram }) => uram.toFixed(1) },
];

/** What a scan that is not fused would hold of the model's shape: three int32 of E x N. No RTL: computed. */
export function unfused({ dInner, dState }: { dInner: number; dState: number }): { bytes: number; uram: number } {
  const bytes = 3 * 4 * dInner * dState;
  return { bytes, uram: bytes / URAM };
}
