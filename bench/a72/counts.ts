/** Instructions of a token by unit, from what the runner prints; and those of deep models from shallow ones. */
import { LightMambaError } from "../../host/errors.ts";
import { UNITS } from "../../host/runtime/engine.ts";

/** The sampler is the host's call, outside of forward. */
export type Unit = Exclude<(typeof UNITS)[number], "sampler">;

/** Instructions by unit. */
export type Counts = Record<Unit, number>;

/** The runner's line. */
export interface Run {
  /** Of each token. */
  tokens: number[];
  /** Of all tokens, in the order of UNITS. */
  units: number[];
  /** Logits that are not the expected ones. */
  wrong: number;
}

const COUNTED = UNITS.filter((unit): unit is Unit => unit !== "sampler");

/** Of a token, the mean of them. */
export function countsOf({ tokens, units, wrong }: Run): Counts {
  if (wrong > 0) {
    const detail = { expected: "0 differ", found: wrong };
    throw new LightMambaError("verification", "the A72's logits are not the host's", detail);
  }
  return byUnit((unit) => Math.round(units[UNITS.indexOf(unit)]! / tokens.length));
}

/** What one more layer costs, and what a token costs once, from models of one and two layers. */
export function partsOf(one: Counts, two: Counts): { layer: Counts; once: Counts } {
  const layer = byUnit((unit) => two[unit] - one[unit]);
  return { layer, once: byUnit((unit) => one[unit] - layer[unit]) };
}

export function sumOf({ layer, once }: { layer: Counts; once: Counts }, layers: number): Counts {
  return byUnit((unit) => once[unit] + layers * layer[unit]);
}

export function mmu(counts: Counts): number {
  return counts["MMU in_proj"] + counts["MMU out_proj"] + counts["MMU lm_head"];
}

/** What stays with the processor where the fabric has MMU and SSMU. */
export function own(counts: Counts): number {
  return counts.embedding + counts.NQU + counts.HTU;
}

export function total(counts: Counts): number {
  return sum(Object.values(counts));
}

function byUnit(value: (unit: Unit) => number): Counts {
  return Object.fromEntries(COUNTED.map((unit) => [unit, value(unit)])) as Counts;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
