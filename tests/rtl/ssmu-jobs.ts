/** Tokens of tests/oracle as jobs of firmware/rtl/sim/ssmu.cpp, and what must come out. */
import { convolve, type OracleLayerState, type OracleModel, type Segments } from "../oracle/model.ts";
import type { StateGroup } from "../oracle/ssmu.ts";
import { nothingSeen, type Seen, scanToken } from "../units/scan.ts";
import { assertSame } from "../units/support.ts";
import { Request, type Result, simulate } from "./support.ts";

const BEAT = 64;

/** Streams of jobs one after the other, as they go in and as they must come out. */
export class Jobs {
  #configs: number[][] = [];
  #bc: number[] = [];
  #heads: bigint[] = [];
  #x: number[] = [];
  #state = { exponents: [] as number[], codes: [] as number[] };
  #expected = { y: [] as number[], F: [] as number[], exponents: [] as number[], codes: [] as number[] };

  /** One token; the oracle's state moves on. */
  add(model: OracleModel, state: OracleLayerState, segments: Segments, t: number, seen: Seen = nothingSeen()): void {
    const layer = model.layers[0]!;
    const { x, B, C } = convolve(layer, { ...state, taps: state.taps.map((taps) => [...taps]) }, segments);
    this.#configs.push(configOf(model, t));
    this.#bc.push(...B, ...C);
    this.#x.push(...x);
    for (let h = 0; h < model.shape.H; h++) this.#heads.push(headOf(model, state.F[h]!, segments.dt[h]!, h));
    append(this.#state, state.groups.flat());
    this.#expected.y.push(...scanToken(model, state, segments, t, seen));
    this.#expected.F.push(...state.F);
    append(this.#expected, state.groups.flat());
  }

  /** Through a build, compared with the oracle; the cycles it took. `through`: its own process, or the add-on. */
  run(
    build: string,
    seed: number,
    stall: number,
    through: (build: string, request: Request) => Result = simulate,
  ): number {
    const { exponents, codes } = this.#state;
    const request = new Request(seed, stall).words(this.#configs.length);
    for (const config of this.#configs) request.words(...config);
    request.words(this.#bc.length).words16(this.#bc).words(this.#heads.length);
    for (const head of this.#heads) request.word64(head, head >> 64n);
    request.words(this.#x.length).words16(this.#x);
    for (const bytes of [exponents, codes]) request.words(bytes.length / BEAT).bytes8(bytes);
    const result = through(build, request);
    const cycles = result.cycles();
    const expected = this.#expected;
    assertSame(result.words32(expected.y.length), expected.y, `${build}: y`);
    assertSame(result.words32(expected.F.length), expected.F, `${build}: F`);
    assertSame(result.bytes8(exponents.length), expected.exponents, `${build}: exponents`);
    assertSame(result.bytes8(codes.length), expected.codes, `${build}: codes`);
    if (!result.done) throw new Error(`${build}: more than was expected`);
    return cycles;
  }
}

/** The last beat of a job is filled up with zeros. */
function append(to: { exponents: number[]; codes: number[] }, groups: readonly StateGroup[]): void {
  for (const { h, eh } of groups) {
    to.exponents.push(eh);
    to.codes.push(...h);
  }
  while (to.exponents.length % BEAT !== 0) to.exponents.push(0);
  while (to.codes.length % BEAT !== 0) to.codes.push(0);
}

function configOf({ shape, layers, dtLow, dtHigh }: OracleModel, t: number): number[] {
  const { H, P, N, G } = shape;
  const { fdt, fxs, fBs, fCs, fD } = layers[0]!;
  return [P, H, G, H / G, N, Math.ceil(N / 16), fdt, fxs, fBs, fCs, fD, dtLow, dtHigh, t % 2 ** 16];
}

/** {D, ae, am, dt_bias, dt, F}, F lowest. */
function headOf({ layers }: OracleModel, F: number, dt: number, head: number): bigint {
  const { Dq, ae, am, dtBias } = layers[0]!;
  const fields: [value: number, bits: number][] = [
    [F, 24],
    [dt, 16],
    [dtBias[head]!, 32],
    [am[head]!, 16],
    [ae[head]!, 6],
    [Dq[head]!, 16],
  ];
  let [word, at] = [0n, 0n];
  for (const [value, bits] of fields) {
    word |= BigInt.asUintN(bits, BigInt(value)) << at;
    at += BigInt(bits);
  }
  return word;
}
