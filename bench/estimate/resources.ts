/** Builds whose resources are held against yosys, and what was found of each: of bench/results/size.json, and others for which only what differs was synthesized. */
import { type Column, percent } from "../../host/bench/table.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { type BuildParameters, type Counts, sumOf, sumOfCounted } from "../../host/estimate/counts.ts";
import { NAMES, needsOf, partsOf, type Shares } from "../../host/estimate/resources.ts";
import { readRecorded, resultsPath } from "../../host/report/recorded.ts";
import { type Build, buildOf } from "../size/design.ts";
import type { BuildSizes, PartRow } from "../size/table.ts";

export const TOLERANCE = 0.1;

/** Beside those of npm run sim:size. */
export const OTHER_BUILDS: readonly Build[] = [
  buildOf("vck190-p1", BOARDS.vck190, { PORTS: 1, PREFETCH: 512 }),
  buildOf("vck190-t2-a6", BOARDS.vck190, { TOKENS: 2, ACT_BITS: 6 }),
  buildOf("small", BOARDS.vck190, {
    ...{ PORTS: 2, TOKENS: 1, MAX_INPUTS: 4096, MAX_ORDER: 32, MAX_LOG2: 6, PREFETCH: 1024 },
  }),
  buildOf("u280", BOARDS.u280),
  // Its state at one port
  buildOf("u280-plain", {
    build: { ...BOARDS.u280.build, state_lanes: 2, state_ports: 0, multiplies: 1, prefetch: 1024 },
  }),
  buildOf("vck190-p4", BOARDS.vck190, { PORTS: 4, PREFETCH: 4096 }),
];

export const RESULTS = resultsPath("resources.json");

/** A part of a build, without its longest path. */
export type CountedPart = Counts & Pick<PartRow, "module" | "count" | "hash">;

export interface Counted extends Build {
  parts: CountedPart[];
}

export function readCounted(): Counted[] {
  return [resultsPath("size.json"), RESULTS].flatMap(
    (file) => readRecorded<{ builds: Counted[] }>(file, ["builds"]).builds,
  );
}

export function withoutPaths({ parts, ...build }: BuildSizes): Counted {
  return { ...build, parts: parts.map(({ path, ...rest }) => rest) };
}

/** lm_top's own default, where a build does not say. */
const STATE_LANES = 2;

export function parametersOf({ parameters }: Build): BuildParameters {
  const of = (name: string) => parameters[name]!;
  return {
    ...{ ports: of("PORTS"), tokens: of("TOKENS"), actBits: of("ACT_BITS"), maxInputs: of("MAX_INPUTS") },
    ...{ maxOrder: of("MAX_ORDER"), maxLog2: of("MAX_LOG2"), prefetch: of("PREFETCH") },
    stateLanes: parameters.STATE_LANES ?? STATE_LANES,
    statePorts: parameters.STATE_PORTS ?? 0,
  };
}

export interface Compared {
  name: string;
  found: Shares;
  modelled: Shares;
  /** Of what yosys found, how much the model is above. */
  off: Shares;
}

export function compare(build: Counted): Compared {
  const found = needsOf(sumOfCounted(build.parts));
  const modelled = needsOf(sumOf(Object.values(partsOf(parametersOf(build))).flat()));
  const kinds = Object.keys(found) as (keyof Shares)[];
  const off = Object.fromEntries(kinds.map((kind) => [kind, offOf(modelled[kind], found[kind])])) as Shares;
  return { name: build.name, found, modelled, off };
}

function offOf(modelled: number, found: number): number {
  return modelled === found ? 0 : modelled / found - 1;
}

export function worst(rows: readonly Compared[]): number {
  return Math.max(...rows.flatMap(({ off }) => Object.values(off).map(Math.abs)));
}

const number = (value: number) => value.toLocaleString("en-US");

export const COLUMNS: readonly Column<Compared>[] = [
  { title: "build", left: true, cell: ({ name }) => name },
  ...(Object.keys(NAMES) as (keyof Shares)[]).map((kind) => ({
    title: `${NAMES[kind]}: yosys, model`,
    cell: ({ found, modelled, off }: Compared) =>
      `${number(found[kind])}, ${number(modelled[kind])} (${percent(off[kind])})`,
  })),
];

export function summary(rows: readonly Compared[]): string {
  const off = rows.map((row) => Math.abs(row.off.luts));
  const mean = off.reduce((sum, one) => sum + one, 0) / off.length;
  return `${rows.length} builds: LUTs off by ${percent(mean)} on average; the most of all kinds is ${percent(worst(rows))}.`;
}
