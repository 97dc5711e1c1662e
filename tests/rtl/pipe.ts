/** Drives testbenches that include firmware/rtl/sim/pipe.h. */
import { Request, simulate } from "./support.ts";

export interface Pipe {
  seed: number;
  stall: number;
  /** u32 words that hold for all beats, as the testbench says. */
  before?: readonly number[];
  beats: readonly (readonly (number | bigint)[])[];
  /** Words of a result. */
  outputs: number;
}

/** The result of each beat, and the cycles from the first beat offered to the last one taken. */
export function pipe(build: string, { seed, stall, before = [], beats, outputs }: Pipe) {
  const request = new Request(seed, stall).words(...before, beats.length);
  for (const beat of beats) request.word64(...beat);
  const result = simulate(build, request);
  const cycles = result.cycles();
  const results = beats.map(() => result.words64(outputs));
  if (!result.done) throw new Error(`${build}: more results than beats`);
  return { cycles, results };
}
