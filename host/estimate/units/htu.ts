/** HTU (docs/units/htu.md): a word a cycle in, 16 a cycle out. */
import { type BuildParameters, blockRams, part, type SizedPart } from "../counts.ts";
import type { ReadMaster, WriteMaster } from "../memory.ts";
import type { Process, Traffic, Unit } from "../unit.ts";

export interface HtuCommand {
  unit: "htu";
  inputs: number;
  tokens: number;
  blocks: number;
  order: number;
  log2: number;
}

const WORDS_A_BEAT = 16;
const COLUMNS_A_BEAT = 8;
const PIPELINE = 12;
const PIPELINE_PLAIN = 7;

/** Behind the last word of a block, until its sums come out. */
function tail({ order, log2 }: HtuCommand): number {
  return 2 ** log2 + (order > 1 ? PIPELINE : PIPELINE_PLAIN);
}

/** Cycles of its own, memory apart. */
export function htuCycles(command: HtuCommand): number {
  const { inputs, tokens, blocks, order, log2 } = command;
  const out = order > 1 ? blocks * (tail(command) + order * Math.max(1, 2 ** log2 / WORDS_A_BEAT)) : tail(command);
  return (order > 1 ? order : 0) + tokens * (inputs + out + 3);
}

export function htuTraffic({ inputs, tokens, order }: HtuCommand): Traffic {
  const vectors = tokens * (Math.ceil(inputs / WORDS_A_BEAT) + 1);
  return { read: columnBeats(order) + vectors, written: vectors };
}

/** Of the matrix. */
function columnBeats(order: number): number {
  return order > 1 ? Math.ceil(order / COLUMNS_A_BEAT) : 0;
}

/** A bank of fewer words is LUT RAM, by yosys: so many LUTs. */
const BLOCK_WORDS = 128;
const SMALL_BANK_LUTS = 37.5;

/** What it takes, by yosys: a bank of sums for each row of the matrix, with what adds to it and chooses among banks. */
export function htuParts({ maxOrder, maxLog2 }: BuildParameters): SizedPart[] {
  const words = 2 ** maxLog2;
  const block = words >= BLOCK_WORDS;
  return [
    part("lm_htu_unit", 1, {
      luts: 4370 + 147 * maxOrder,
      memoryLuts: 185 + (block ? 0 : SMALL_BANK_LUTS * maxOrder),
      flipFlops: 4170 + 3.75 * maxOrder,
      dsps: 1,
      blockRams: block ? maxOrder * blockRams(words, 32) : 0,
    }),
  ];
}

export class HtuUnit implements Unit<HtuCommand> {
  readonly #reader: ReadMaster;
  readonly #writer: WriteMaster;
  /** Beats of u that the SSM before has written. */
  readonly #followed: () => number;

  constructor(reader: ReadMaster, writer: WriteMaster, followed: () => number) {
    this.#reader = reader;
    this.#writer = writer;
    this.#followed = followed;
  }

  start(command: HtuCommand, hold: () => boolean): Process[] {
    const { inputs, tokens, order } = command;
    const columns = columnBeats(order);
    this.#reader.ask(columns);
    const limit = () => (hold() ? this.#followed() : Number.POSITIVE_INFINITY);
    this.#reader.ask((Math.ceil(inputs / WORDS_A_BEAT) + 1) * tokens, { limit });
    return [this.#run(command, columns)];
  }

  *#run(command: HtuCommand, columns: number): Process {
    const { inputs, tokens, blocks, order } = command;
    const reader = this.#reader;
    const writer = this.#writer;
    yield 2;
    for (let beat = 0; beat < columns; beat++) {
      while (!reader.take()) yield;
      yield COLUMNS_A_BEAT;
    }
    for (let t = 0; t < tokens; t++) {
      yield 2;
      writer.begin(Math.ceil(inputs / WORDS_A_BEAT) + 1);
      // One block after the other where rows are mixed; else the vector streams through
      const parts = order > 1 ? blocks : 1;
      for (let part = 0; part < parts; part++) yield* this.#block(inputs / parts, tail(command), order === 1);
      while (!reader.take()) yield; // header
      while (!writer.room) yield;
      writer.push();
      yield;
    }
    while (!writer.idle || !reader.idle) yield;
  }

  *#block(words: number, behind: number, streams: boolean): Process {
    const beats = Math.ceil(words / WORDS_A_BEAT);
    let given = 0;
    for (let beat = 0; beat < beats; beat++) {
      while (!this.#reader.take()) yield;
      yield Math.min(WORDS_A_BEAT, words - WORDS_A_BEAT * beat);
      if (streams && WORDS_A_BEAT * (beat + 1 - given) > behind) given += yield* this.#give();
    }
    yield behind;
    while (given < beats) given += yield* this.#give();
  }

  *#give(): Generator<number | undefined, number, void> {
    while (!this.#writer.room) yield;
    this.#writer.push();
    yield;
    return 1;
  }
}
