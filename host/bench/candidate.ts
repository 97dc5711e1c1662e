/** One of the models that a measurement compares. */
import { setImmediate } from "node:timers/promises";
import type { ActivationBits } from "../model/description.ts";
import type { Model } from "../runtime/model.ts";
import type { Session } from "../runtime/session.ts";
import type { BandwidthProbe } from "./bandwidth.ts";
import type { Span } from "./power/integrate.ts";
import { monotonicSeconds, type PowerUse } from "./power/meter.ts";
import { type Spread, spread } from "./spread.ts";
import { measureUnits, type UnitTime } from "./units.ts";

export interface BenchRun {
  threads: number;
  activationBits: ActivationBits;
  headBits: 4 | 8;
  weightBytesPerToken: number;
  stateBytes: number;
  /** The prompt, and the likeliest token after it. */
  timeToFirstTokenSeconds: Spread;
  prefillTokensPerSecond: Spread;
  decodeTokensPerSecond: Spread;
  /** By the median of decoding. */
  weightBytesPerSecond: number;
  /** What as many threads read a second, before and after each round's decoding. */
  readBytesPerSecond: Spread;
  /** Of that, of the same round: where threads run on a shared machine decides what they can read, and changes from round to round. */
  shareOfReadBandwidth: Spread;
  /** With the state, which a token reads and writes. */
  shareWithState: Spread;
  /** Each round's decoding, and what was read a second before it and after. */
  rounds: { decodeTokensPerSecond: number; readBytesPerSecond: [before: number, after: number] }[];
  /** Of decoding, in all rounds; null where the machine has no power monitor. */
  power: (PowerUse & { joulesPerToken: number | null }) | null;
  /** Seconds a decoded token, medians. */
  units: UnitTime[];
}

/** Decoded beyond those that are timed, for the time of each unit. */
const UNIT_TOKENS = 16;

/** Seconds of one round; of decoding, a token. */
interface Round {
  prefill: number;
  firstToken: number;
  decode: number;
  readBytesPerSecond: [before: number, after: number];
  /** When it was decoded. */
  span: Span;
  units: UnitTime[];
}

/** A model that is measured in turn with others. */
export class Candidate {
  readonly model: Model;
  #prefillTokens = 0;
  readonly #rounds: Round[] = [];

  constructor(model: Model) {
    this.model = model;
  }

  /** One round; probe: of as many threads as the model has. */
  async play(prefillTokens: number, decodeTokens: number, probe: BandwidthProbe): Promise<void> {
    this.#prefillTokens = prefillTokens;
    const session = this.model.session({ temperature: 0 });
    // The caches hold another model's weights, if there is one.
    session.feed(0);
    const prompt = this.#prompt(prefillTokens);
    const begin = performance.now();
    session.prefill(prompt);
    const consumed = performance.now();
    const first = session.sample();
    const sampled = performance.now();
    const decoded = await this.#decode(session, first, decodeTokens, probe);
    session.close();
    this.#rounds.push({ prefill: (consumed - begin) / 1000, firstToken: (sampled - begin) / 1000, ...decoded });
  }

  /** Ctrl-C gets through between two tokens, off the clock. */
  async #decode(
    session: Session,
    first: number,
    count: number,
    probe: BandwidthProbe,
  ): Promise<Omit<Round, "prefill" | "firstToken">> {
    let token = first;
    let spent = 0;
    const before = probe.measure();
    const start = monotonicSeconds();
    for (let i = 0; i < count; i++) {
      const begin = performance.now();
      session.feed(token);
      token = session.sample();
      spent += performance.now() - begin;
      await setImmediate();
    }
    const span: Span = [start, monotonicSeconds()];
    const after = probe.measure();
    const units = measureUnits(this.model, session, token, Math.min(count, UNIT_TOKENS));
    return { decode: spent / 1000 / count, readBytesPerSecond: [before, after], span, units };
  }

  #prompt(count: number): number[] {
    return Array.from({ length: count }, (_, i) => spreadToken(i, this.model.config.vocabUsed));
  }

  /** The first round is left out. */
  result(decodeTokens: number, powerIn?: (spans: readonly Span[]) => PowerUse): BenchRun {
    const rounds = this.#rounds.slice(1);
    const power = powerIn?.(rounds.map(({ span }) => span));
    const tokens = rounds.length * decodeTokens;
    const of = (value: (round: Round) => number) => spread(rounds.map(value));
    const { model } = this;
    const { activationBits, weights } = model.description;
    const decodeTokensPerSecond = of(({ decode }) => 1 / decode);
    const read = ({ readBytesPerSecond: [before, after] }: Round) => (before + after) / 2;
    const share = (bytes: number) => of((round) => bytes / round.decode / read(round));
    return {
      threads: model.threads,
      activationBits,
      headBits: weights.wide.includes("lm_head") ? 8 : 4,
      weightBytesPerToken: model.weightBytesPerToken,
      stateBytes: model.stateBytes,
      timeToFirstTokenSeconds: of(({ firstToken }) => firstToken),
      prefillTokensPerSecond: of(({ prefill }) => this.#prefillTokens / prefill),
      decodeTokensPerSecond,
      weightBytesPerSecond: decodeTokensPerSecond.median * model.weightBytesPerToken,
      readBytesPerSecond: of(read),
      shareOfReadBandwidth: share(model.weightBytesPerToken),
      shareWithState: share(model.weightBytesPerToken + 2 * model.stateBytes),
      rounds: rounds.map(({ decode, readBytesPerSecond }) => ({
        decodeTokensPerSecond: 1 / decode,
        readBytesPerSecond,
      })),
      power: power === undefined ? null : { joulesPerToken: power.joules && power.joules / tokens, ...power },
      units: rounds[0]!.units.map(({ unit }, i) => ({ unit, seconds: of(({ units }) => units[i]!.seconds).median })),
    };
  }
}

/** Token i of a prompt from all over the vocabulary. */
export function spreadToken(i: number, vocabulary: number): number {
  return (1 + i * 4099) % vocabulary;
}
