/** What a build takes of the board's logic: formulas of its parameters, part by part, held against yosys' counts (docs/estimate.md, Resources). */
import { LightMambaError } from "../errors.ts";
import { type BuildParameters, type Counts, KINDS, part, type SizedPart, sumOf } from "./counts.ts";
import type { Build } from "./device.ts";
import type { BuildLimits } from "./fit.ts";
import { embedParts } from "./units/embed.ts";
import { htuParts } from "./units/htu.ts";
import { mmuParts } from "./units/mmu.ts";
import { nquParts } from "./units/nqu.ts";
import { ssmuParts } from "./units/ssmu.ts";

/** Rows of a table of resources: what the parts of lm_top are for. */
export const RESOURCE_UNITS = ["top", "commands", "masters", "copy", "embed", "mmu", "ssmu", "htu", "nqu"] as const;
export type ResourceUnit = (typeof RESOURCE_UNITS)[number];

/** What a design has beside lm_top: interconnect of registers, clocks, resets, interrupts, debugging. Memory controllers and NoC are hard. Assumed. */
export const SHELL: Counts = {
  luts: 30_000,
  memoryLuts: 0,
  flipFlops: 45_000,
  dsps: 0,
  blockRams: 30,
  ultraRams: 0,
};

export function withShell(counts: Counts): Counts {
  return sumOf([counts, SHELL].map((each) => ({ count: 1, each })));
}

/** Numbers of `logic` in boards/*.yaml. */
export interface Logic {
  readonly luts: number;
  readonly flip_flops: number;
  readonly dsps: number;
  readonly block_rams: number;
  readonly ultra_rams: number;
}

export interface Resources {
  units: { [unit in ResourceUnit]: Counts };
  shell: Counts;
  /** Of units and shell. */
  all: Counts;
  /** Of what the board's part has, LUTs that serve as memory among the LUTs; not where nothing is known of it. */
  share?: Shares;
}
export type Shares = { [kind in Exclude<keyof Counts, "memoryLuts">]: number };

export function resourcesOf(build: BuildParameters, logic?: Logic): Resources {
  const parts = partsOf(build);
  const units = Object.fromEntries(RESOURCE_UNITS.map((unit) => [unit, sumOf(parts[unit])])) as Resources["units"];
  const all = withShell(sumOf(Object.values(parts).flat()));
  return { units, shell: SHELL, all, ...(logic === undefined ? {} : { share: sharesOf(all, logic) }) };
}

export function partsOf(build: BuildParameters): { [unit in ResourceUnit]: SizedPart[] } {
  return {
    ...{ top: topParts(build), commands: commandParts(build), masters: masterParts(build) },
    ...{ copy: [part("lm_copy", 1, { luts: 4, flipFlops: 158 })], embed: embedParts(), mmu: mmuParts(build) },
    ...{ ssmu: ssmuParts(build), htu: htuParts(build), nqu: nquParts() },
  };
}

/** Errors and beats of all masters, and which unit's they are. Parts of the state come with a second MULTIPLY; both were counted together, in one build. */
function topParts({ ports, statePorts = 0 }: BuildParameters): SizedPart[] {
  return [part("lm_top", 1, { luts: 995 + 167 * ports + 1400 * statePorts, flipFlops: 34 * ports })];
}

/** A window for each port is eight words of registers. */
function commandParts({ ports }: BuildParameters): SizedPart[] {
  return [
    part("lm_regs", 1, { luts: 1695 + 211 * ports, flipFlops: 1314 + 256 * ports }),
    part("lm_cmd", 1, { luts: 7600, flipFlops: 3094, dsps: 7 }),
  ];
}

/** A megabit of queue and more lies in UltraRAM (lm_queue). */
const ULTRA_BITS = 1 << 20;
const BEAT_BITS = 512;

/** Masters of port 0, whose queues are LUT RAM but for those of COPY and weights, and what shares the port among them; a reader for each other port. */
function masterParts({ ports, prefetch, statePorts = 0 }: BuildParameters): SizedPart[] {
  const ultra = prefetch * BEAT_BITS >= ULTRA_BITS;
  const queue = ultra
    ? { ultraRams: 8 * Math.ceil(prefetch / 4096) }
    : { blockRams: (15 * Math.max(1, prefetch / 512) - Number(prefetch > 512)) / 2 };
  const weights = { luts: 1300, memoryLuts: 40, flipFlops: 319, ...queue };
  return [
    // Of descriptors, two beats deep, and of port tables, 16
    part("lm_axi_rd", 1, { luts: 1237, memoryLuts: 336, flipFlops: 284 }),
    part("lm_axi_rd", 1, { luts: 1257, memoryLuts: 336, flipFlops: 296 }),
    // Of COPY and of codes of each part of the state, 256 beats deep; the others have 64, two of them the state's where port 0 has it
    part("lm_axi_rd", 1, { luts: 1283, memoryLuts: 40, flipFlops: 314, blockRams: 7.5 }),
    part("lm_axi_rd", statePorts, { luts: 1107, memoryLuts: 40, flipFlops: 314, blockRams: 7.5 }),
    part("lm_axi_rd", statePorts === 0 ? 10 : 8, { luts: 1274, memoryLuts: 632, flipFlops: 313 }),
    part("lm_axi_rd", statePorts, { luts: 1097, memoryLuts: 632, flipFlops: 313 }),
    part("lm_axi_rd", 1, weights),
    part("lm_axi_rd", ports - 1, { ...weights, luts: 1130, flipFlops: 325 }),
    part("lm_axi_wr", statePorts === 0 ? 10 : 8, { luts: 741, memoryLuts: 336, flipFlops: 340 }),
    part("lm_axi_wr", 2 * statePorts, { luts: 567, memoryLuts: 336, flipFlops: 341 }),
    part("lm_axi_rd_mux", 1, { luts: 620, flipFlops: 17 }),
    part("lm_axi_wr_mux", 1, { luts: 2400, flipFlops: 18 }),
    part("lm_axi_rd_mux", statePorts, { luts: 111, flipFlops: 17 }),
    part("lm_axi_wr_mux", statePorts, { luts: 624, flipFlops: 18 }),
    part("lm_state_port", statePorts, { luts: 210 }),
  ].filter(({ count }) => count > 0);
}

/** The board's build with other ports and what else a configuration chooses. */
export function parametersOf(
  limits: BuildLimits,
  ports: number,
  { stateLanes, statePorts = 0, prefetch }: Build,
): BuildParameters {
  const { tokens, act_bits, max_inputs, max_order, max_log2 } = limits;
  return {
    ...{ ports, tokens, actBits: act_bits, maxInputs: max_inputs, maxOrder: max_order, maxLog2: max_log2 },
    ...{ stateLanes, statePorts, prefetch },
  };
}

// ------------------------------------------------------------------------------------------------------ limits

/** Of each kind at most so many; what is left out is not limited. */
export type Limits = Partial<Shares>;

export const NAMES: { readonly [kind in keyof Shares]: string } = {
  ...{ luts: "LUT", flipFlops: "FF", dsps: "DSP", blockRams: "RAMB36", ultraRams: "URAM" },
};

/** As a part of silicon has them: LUTs that serve as memory are LUTs too. */
export function needsOf({ memoryLuts, luts, ...rest }: Counts): Shares {
  return { luts: luts + memoryLuts, ...rest };
}

export function limitsOf(logic: Logic | undefined): Limits {
  if (logic === undefined) return {};
  const { luts, flip_flops, dsps, block_rams, ultra_rams } = logic;
  return { luts, flipFlops: flip_flops, dsps, blockRams: block_rams, ultraRams: ultra_rams };
}

export function sharesOf(counts: Counts, logic: Logic): Shares {
  const has = limitsOf(logic) as Shares;
  const needs = needsOf(counts);
  return Object.fromEntries(
    KINDS.flatMap((kind) => (kind === "memoryLuts" ? [] : [[kind, needs[kind] / has[kind]]])),
  ) as Shares;
}

/** The first limit that the counts are beyond. */
export function beyond(counts: Counts, limits: Limits): LightMambaError | undefined {
  const needs = needsOf(counts);
  for (const [kind, most] of Object.entries(limits) as [keyof Shares, number][]) {
    if (needs[kind] <= most) continue;
    const detail = { field: NAMES[kind], expected: `at most ${most}`, found: needs[kind] };
    return new LightMambaError("unsupported", "the build does not fit the logic", {
      ...detail,
      hint: "fewer ports or state lanes, or another board",
    });
  }
  return undefined;
}
