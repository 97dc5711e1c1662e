/** Counts of a part of silicon, as yosys names them (docs/resources.md), and the parameters of a build that they follow from. */

export const KINDS = ["luts", "memoryLuts", "flipFlops", "dsps", "blockRams", "ultraRams"] as const;

/** LUTs apart from those that serve as memory or shift register; block RAM of 36 kbit, those of 18 kbit are halves. */
export type Counts = { [kind in (typeof KINDS)[number]]: number };

/** Parameters of lm_top that cost something; the others only set limits. */
export interface BuildParameters {
  ports: number;
  tokens: number;
  actBits: number;
  maxInputs: number;
  maxOrder: number;
  maxLog2: number;
  stateLanes: number;
  statePorts?: number;
  prefetch: number;
}

/** A module of the RTL that is counted by itself, and how many of it there are. */
export interface SizedPart {
  module: string;
  count: number;
  each: Counts;
}

export function part(module: string, count: number, each: Partial<Counts>): SizedPart {
  return { module, count, each: { ...NOTHING, ...each } };
}

export const NOTHING: Counts = { luts: 0, memoryLuts: 0, flipFlops: 0, dsps: 0, blockRams: 0, ultraRams: 0 };

/** The same of rows that say of themselves how many there are. */
export function sumOfCounted(rows: readonly (Counts & { count: number })[]): Counts {
  return sumOf(rows.map((each) => ({ count: each.count, each })));
}

export function sumOf(parts: readonly { count: number; each: Counts }[]): Counts {
  const of = (kind: keyof Counts) => parts.reduce((sum, { count, each }) => sum + count * each[kind], 0);
  return Object.fromEntries(KINDS.map((kind) => [kind, of(kind)])) as Counts;
}

/** Block RAMs of a memory with its own output register: halves of 512 words of 36 bits. */
export function blockRams(words: number, bits: number): number {
  return Math.ceil(bits / 36) * Math.max(1, Math.ceil(words / 512)) * 0.5;
}
