/** NQU (docs/units/nqu.md): two sweeps over a vector, a group of 16 values a cycle each. */
import { part, type SizedPart } from "../counts.ts";
import type { ReadMaster, WriteMaster } from "../memory.ts";
import type { Process, Traffic, Unit } from "../unit.ts";

export interface NquCommand {
  unit: "nqu";
  inputs: number;
  tokens: number;
  /** Of activations; with 8 there are no group scales. */
  bits: number;
  /** A u vector with its header, or the residual, whose tokens are `stride` beats apart. */
  inner: boolean;
  stride: number;
}

const VALUES_A_BEAT = 16;
const CODES_A_BEAT = 64;
const SCALES_A_BEAT = 64 * 16;
/** Between the sweeps and behind the second one, then the norm's factor: docs/units/nqu.md. */
const BETWEEN = 12;
const FACTOR = 9;
const FACTOR_INNER = 3;

const sweep = (inputs: number) => 2 * Math.ceil(inputs / 32);

/** Cycles of its own, memory apart. */
export function nquCycles({ inputs, tokens, bits, inner }: NquCommand): number {
  return tokens * (2 * sweep(inputs) + BETWEEN + (inner ? FACTOR_INNER : FACTOR) + 1 + scaleBeats(inputs, bits));
}

export function nquTraffic({ inputs, tokens, bits, inner }: NquCommand): Traffic {
  const written = 1 + scaleBeats(inputs, bits) + Math.ceil(inputs / CODES_A_BEAT);
  return { read: 1 + tokens * (Math.ceil(inputs / VALUES_A_BEAT) + Number(inner)), written: tokens * written };
}

function scaleBeats(inputs: number, bits: number): number {
  return bits === 8 ? 0 : Math.ceil(inputs / SCALES_A_BEAT);
}

/** What it takes, by yosys: the vector between the sweeps lies in block RAM, whose depth holds any that a build is for. */
export function nquParts(): SizedPart[] {
  return [part("lm_nqu_unit", 1, { luts: 9406, memoryLuts: 297, flipFlops: 5720, dsps: 53, blockRams: 8.5 })];
}

export class NquUnit implements Unit<NquCommand> {
  readonly #reader: ReadMaster;
  readonly #writer: WriteMaster;

  constructor(reader: ReadMaster, writer: WriteMaster) {
    this.#reader = reader;
    this.#writer = writer;
  }

  start(command: NquCommand, hold: () => boolean): Process[] {
    const { inputs, tokens, inner, stride } = command;
    const beats = Math.ceil(inputs / VALUES_A_BEAT) + Number(inner);
    this.#reader.ask(1);
    return [this.#ask(beats, tokens, inner ? 1 : stride, hold), this.#run(command)];
  }

  /** Vectors of all tokens, when the command before has ended. */
  *#ask(beats: number, tokens: number, stride: number, hold: () => boolean): Process {
    yield 2;
    while (hold()) yield;
    if (stride === 1) this.#reader.ask(beats * tokens);
    else for (let t = 0; t < tokens; t++) this.#reader.ask(beats, { stride });
  }

  *#run({ inputs, tokens, bits, inner }: NquCommand): Process {
    const reader = this.#reader;
    const writer = this.#writer;
    while (!reader.take()) yield; // norm record
    for (let t = 0; t < tokens; t++) {
      if (inner) while (!reader.take()) yield; // header
      yield 2;
      for (let beat = 0; beat < Math.ceil(inputs / VALUES_A_BEAT); beat++) {
        while (!reader.take()) yield;
        yield;
      }
      const codes = Math.ceil(inputs / CODES_A_BEAT);
      const scales = scaleBeats(inputs, bits);
      writer.begin(codes);
      yield BETWEEN;
      for (let beat = 0; beat < codes; beat++) {
        yield Math.min(4, sweep(inputs) - 4 * beat);
        while (!writer.room) yield;
        writer.push();
      }
      yield inner ? FACTOR_INNER : FACTOR;
      writer.begin(1 + scales);
      for (let beat = 0; beat < 1 + scales; beat++) {
        while (!writer.room) yield;
        writer.push();
        yield;
      }
    }
    while (!writer.idle || !reader.idle) yield;
  }
}
