/** What a pass draws: the part at rest, its registers, its units while they work, memories by the byte, and the processor. docs/estimate.md, Power. */
import type { Figure } from "../device/boards.generated.ts";
import { type Counts, KINDS } from "./counts.ts";
import { bandedBoard, type EstimateBoard, type PassEstimate } from "./estimate.ts";
import type { Resources, ResourceUnit } from "./resources.ts";

/** Numbers of `power` in boards/*.yaml. */
export interface Power {
  readonly static_w: number;
  readonly lut_pj: number;
  readonly memory_lut_pj: number;
  readonly flip_flop_pj: number;
  readonly dsp_pj: number;
  readonly block_ram_pj: number;
  readonly ultra_ram_pj: number;
  readonly processor_idle_w: number;
  readonly processor_busy_w: number;
  /** Each of all memories whose name begins so. */
  readonly memories: readonly { readonly name: string; readonly pj_per_byte: number; readonly idle_w: number }[];
}

export interface EnergyPart {
  part: string;
  joules: number;
}

export interface Energy {
  joulesPerToken: number;
  watts: number;
  /** With all figures of `power` at their lowest, and at their highest; the speed as it is. */
  joulesBand: [low: number, high: number];
  wattsBand: [low: number, high: number];
  parts: EnergyPart[];
}

const PICO = 1e-12;

/** Of a pass of one token; nothing where the board's file has no `power`. */
export function energyOf(
  pass: PassEstimate,
  resources: Pick<Resources, "units" | "shell">,
  board: EstimateBoard,
  figures: { readonly [path: string]: Figure },
): Energy | undefined {
  const { power } = board;
  if (power === undefined) return undefined;
  const joulesWith = (one: Power) => sum(partsWith(one, pass, resources, board));
  const ends = (["best", "worst"] as const).map((end) => joulesWith(bandedPower(power, figures, end)));
  const joulesBand = ends as [number, number];
  const parts = partsWith(power, pass, resources, board);
  const joulesPerToken = sum(parts);
  return {
    ...{ joulesPerToken, watts: joulesPerToken / pass.seconds, joulesBand },
    wattsBand: [joulesBand[0] / pass.seconds, joulesBand[1] / pass.seconds],
    parts,
  };
}

export function bandedPower(power: Power, figures: { readonly [path: string]: Figure }, end: "worst" | "best"): Power {
  const own = Object.entries(figures).filter(([path]) => path.startsWith("power."));
  return bandedBoard({ power }, Object.fromEntries(own), end).power;
}

function partsWith(
  power: Power,
  pass: PassEstimate,
  { units, shell }: Pick<Resources, "units" | "shell">,
  board: EstimateBoard,
): EnergyPart[] {
  const { seconds, processorSeconds } = pass;
  const cycles = board.clock_mhz * 1e6 * seconds;
  const registers = sum(
    Object.values(units)
      .concat(shell)
      .map(({ flipFlops }) => ({ joules: flipFlops })),
  );
  const logic = (Object.entries(units) as [ResourceUnit, Counts][]).map(([unit, counts]) => ({
    part: unit,
    joules: PICO * cycleEnergy(power, counts) * workingCycles(unit, pass),
  }));
  return [
    { part: "static", joules: power.static_w * seconds },
    { part: "registers", joules: PICO * power.flip_flop_pj * registers * cycles },
    ...logic,
    { part: "shell", joules: PICO * cycleEnergy(power, shell) * pass.cycles },
    ...memoryParts(power, pass),
    {
      part: "processor",
      joules: power.processor_busy_w * processorSeconds + power.processor_idle_w * (seconds - processorSeconds),
    },
  ];
}

/** Own cycles of a unit; masters and commands are there for all. */
function workingCycles(unit: ResourceUnit, { unitCycles, cycles }: PassEstimate): number {
  if (unit === "copy") return 0;
  return unit in unitCycles ? unitCycles[unit as keyof typeof unitCycles] : cycles;
}

/** Picojoules of a cycle, registers apart. */
export function cycleEnergy(power: Power, counts: Counts): number {
  const each: Counts = {
    ...{ luts: power.lut_pj, memoryLuts: power.memory_lut_pj, flipFlops: 0, dsps: power.dsp_pj },
    ...{ blockRams: power.block_ram_pj, ultraRams: power.ultra_ram_pj },
  };
  return KINDS.reduce((total, kind) => total + counts[kind] * each[kind], 0);
}

function memoryParts({ memories }: Power, { memoryBytes, seconds }: PassEstimate): EnergyPart[] {
  return memories.map(({ name, pj_per_byte, idle_w }) => {
    const own = Object.entries(memoryBytes).filter(([memory]) => memory.startsWith(name));
    const bytes = own.reduce((total, [, count]) => total + count, 0);
    return { part: name, joules: PICO * pj_per_byte * bytes + idle_w * seconds };
  });
}

function sum(parts: readonly { joules: number }[]): number {
  return parts.reduce((total, { joules }) => total + joules, 0);
}
