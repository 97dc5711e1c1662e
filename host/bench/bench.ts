/**
 * Speed of decoding and of prefill, of a model directory or of a synthetic model. All that is compared runs in turn, round
 * by round, so that a slow minute of the machine hits all alike; the first round warms up and is not counted.
 */
import { availableParallelism } from "node:os";
import { LightMambaError } from "../errors.ts";
import type { ActivationBits } from "../model/description.ts";
import { type ShapeName, shapeConfig } from "../model/shapes.ts";
import { Model } from "../runtime/model.ts";
import { syntheticDescription } from "../runtime/synthetic.ts";
import { BandwidthProbe } from "./bandwidth.ts";
import { type BenchRun, Candidate } from "./candidate.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { type Spread, spread } from "./spread.ts";

/** Pseudo-random weights, for shapes whose checkpoint is not at hand. */
export interface SyntheticSource {
  shape: ShapeName;
  /** Default: those of the shape. */
  layers?: number;
  /** One model for each. */
  activationBits: readonly ActivationBits[];
  headBits: 4 | 8;
}

export interface BenchOptions {
  /** A model directory, or what to make up. */
  source: string | SyntheticSource;
  /** One model for each. */
  threads: readonly number[];
  decodeTokens: number;
  prefillTokens: number;
  rounds: number;
  progress?: (done: number, total: number, note: string) => void;
}

export interface BenchResult {
  date: string;
  machine: Machine;
  /** The directory, or the name of the shape. */
  model: string;
  synthetic: boolean;
  dModel: number;
  layers: number;
  variant: Model["variant"];
  rounds: number;
  decodeTokens: number;
  prefillTokens: number;
  readBandwidth: { threads: number; bytesPerSecond: Spread }[];
  runs: BenchRun[];
}

/** The runtime has one thread so far. */
const MOST_THREADS = 1;

/** 1, 2, 4 and so on, up to the machine's cores, and these. */
export function defaultThreads(): number[] {
  const most = Math.min(availableParallelism(), MOST_THREADS);
  const powers = Array.from({ length: Math.ceil(Math.log2(most)) }, (_, i) => 2 ** i);
  return [...powers, most];
}

export async function bench(options: BenchOptions): Promise<BenchResult> {
  const { source, threads, rounds, decodeTokens, prefillTokens } = options;
  const candidates = openCandidates(options);
  const probes = threads.map((count) => new BandwidthProbe(count));
  const bandwidths = probes.map((): number[] => []);
  const total = (rounds + 1) * candidates.length;
  let done = 0;
  for (let round = 0; round <= rounds; round++) {
    for (const [i, probe] of probes.entries()) bandwidths[i]!.push(probe.measure());
    for (const candidate of candidates) {
      options.progress?.(done++, total, round === 0 ? "warming up" : `round ${round} of ${rounds}`);
      await candidate.play(prefillTokens, decodeTokens);
    }
  }
  const readBandwidth = probes.map((probe, i) => ({
    threads: probe.threads,
    bytesPerSecond: spread(bandwidths[i]!.slice(1)),
  }));
  const { model } = candidates[0]!;
  return {
    date: new Date().toISOString(),
    machine: describeMachine(),
    model: typeof source === "string" ? source : source.shape,
    synthetic: typeof source !== "string",
    dModel: model.config.dModel,
    layers: model.config.nLayers,
    variant: model.variant,
    rounds,
    decodeTokens,
    prefillTokens,
    readBandwidth,
    runs: candidates.map((candidate) => {
      const same = readBandwidth.find(({ threads: count }) => count === candidate.threads)!;
      return candidate.result(same.bytesPerSecond.median);
    }),
  };
}

function openCandidates({ source, threads }: BenchOptions): Candidate[] {
  return threads.flatMap((count) => {
    if (count > MOST_THREADS) {
      throw new LightMambaError("unsupported", "the runtime has one thread so far", { field: `--threads ${count}` });
    }
    if (typeof source === "string") return [new Candidate(Model.load(source), count)];
    const config = shapeConfig(source.shape, source.layers);
    return source.activationBits.map((activationBits) => {
      const description = syntheticDescription(config, { activationBits, headBits: source.headBits });
      return new Candidate(Model.synthetic(config, description), count);
    });
  });
}
