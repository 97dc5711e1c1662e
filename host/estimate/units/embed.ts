/** EMBED (docs/units/embed.md): 16 codes a cycle, a row of int8 in and a residual of int32 out. */
import { part, type SizedPart } from "../counts.ts";
import type { ReadMaster, WriteMaster } from "../memory.ts";
import type { Process, Traffic, Unit } from "../unit.ts";

export interface EmbedCommand {
  unit: "embed";
  inputs: number;
  /** Beats from one of the residual's to its next: tokens of the pass. */
  stride: number;
}

/** From the start to the masters' commands; through shift and clamp. */
const START = 4;
const LATENCY = 3;
const CODES_A_CYCLE = 16;
const CODES_A_BEAT = 64;

/** Cycles of its own, memory apart. */
export function embedCycles({ inputs }: EmbedCommand): number {
  return Math.ceil(inputs / CODES_A_CYCLE) + LATENCY;
}

export function embedTraffic({ inputs }: EmbedCommand): Traffic {
  return { read: Math.ceil(inputs / CODES_A_BEAT), written: Math.ceil(inputs / CODES_A_CYCLE) };
}

/** What it takes, by yosys: 16 values a cycle, each with a product; no memory. */
export function embedParts(): SizedPart[] {
  return [part("lm_embed_unit", 1, { luts: 7126, memoryLuts: 1, flipFlops: 2267, dsps: 16 })];
}

export class EmbedUnit implements Unit<EmbedCommand> {
  readonly #reader: ReadMaster;
  readonly #writer: WriteMaster;

  constructor(reader: ReadMaster, writer: WriteMaster) {
    this.#reader = reader;
    this.#writer = writer;
  }

  start(command: EmbedCommand): Process[] {
    return [this.#run(command)];
  }

  *#run({ inputs, stride }: EmbedCommand): Process {
    const reader = this.#reader;
    const writer = this.#writer;
    yield START;
    reader.ask(Math.ceil(inputs / CODES_A_BEAT));
    const beats = Math.ceil(inputs / CODES_A_CYCLE);
    writer.begin(beats, stride > 1);
    for (let beat = 0; beat < beats; beat++) {
      if (beat % (CODES_A_BEAT / CODES_A_CYCLE) === 0) while (!reader.take()) yield;
      while (!writer.room) yield;
      writer.push();
      yield;
    }
    yield LATENCY;
    while (!writer.idle || !reader.idle) yield;
  }
}
