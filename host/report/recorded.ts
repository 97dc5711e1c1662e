/** What was measured, simulated or synthesized before, as bench/results keeps it; each file is written by the command that it names. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemReason } from "../checkpoint/file.ts";
import { badInput } from "../errors.ts";
import type { Counts } from "../estimate/counts.ts";
import type { Span } from "../estimate/timeline.ts";
import { packageRoot } from "../package.ts";
import type { Overlap, Partition } from "../runtime/accelerator.ts";
import type { RecordedLadder } from "./accuracy.ts";

/** A setting of the simulated RTL. */
export interface SimSetting {
  name: string;
  ports: number;
  /** Of a pass. */
  tokens: number;
  partition: Partition;
  serial: Overlap[];
}

export interface SimRow {
  /** A shape with so many layers and a short lm_head, or "embedded". */
  model: string;
  setting: SimSetting;
  /** Cycles of a layer for a token, and what the memory could do it in at best. */
  cycles: number;
  bound: number;
  /** Share of what the memory can give. */
  memoryBusy: number;
  /** Beats that lanes took, of all they could have. */
  mmuBusy: number;
  /** Bytes on chip of the build. Overlaps are switched off by software, so that they change none. */
  buffers: number;
  /** Cycles of a layer in which a unit worked, waiting for the one before taken off. */
  work: { [unit: string]: number };
  /** Of the whole model, from these layers. */
  tokensPerSecond: number;
  /** Every command of the pass. */
  spans: Span[];
}

/** bench/results/sim.json */
export interface Sim {
  by: string;
  date: string;
  board: string;
  /** Layers of the shape that ran, and microseconds of the processor for each hand-over of the split partition. */
  layers: number;
  a72: number;
  rows: SimRow[];
  builds: SimBuild[];
}

export interface SimBuild {
  build: string;
  /** Whether a row's cycles come from it. */
  measured: boolean;
  buffers: { [unit: string]: number };
  total: number;
  uram: number;
}

/** By yosys: the parts of some builds of lm_top, without a shell. */
export interface Synthesis {
  builds: { name: string; parts: (Counts & { count: number })[] }[];
}

/** The one with just these overlaps switched off. */
export function inTurn(rows: readonly SimRow[], serial: readonly Overlap[]): SimRow | undefined {
  const set = (overlaps: readonly Overlap[]) => [...overlaps].sort().join();
  return rows.find(({ setting }) => set(setting.serial) === set(serial));
}

export const readSim = (file = resultsPath("sim.json")): Sim =>
  readRecorded(file, ["by", "date", "board", "layers", "rows", "builds"]);

export const readLadder = (file = resultsPath("ladder.json")): RecordedLadder =>
  readRecorded(file, ["by", "checkpoint", "tokens", "referencePerplexity", "rungs"]);

export const readSynthesis = (file = resultsPath("size.json")): Synthesis => readRecorded(file, ["builds"]);

export const resultsPath = (name: string) => join(packageRoot(), "bench", "results", name);

export function readRecorded<T extends object>(file: string, fields: readonly (keyof T & string)[]): T {
  let found: Partial<T> | null;
  try {
    found = JSON.parse(readFileSync(file, "utf8")) as Partial<T> | null;
  } catch (error) {
    throw badInput(`cannot be read: ${systemReason(error)}`, { file });
  }
  for (const field of fields) {
    if (found?.[field] === undefined) throw badInput("is missing", { file, field });
  }
  return found as T;
}
