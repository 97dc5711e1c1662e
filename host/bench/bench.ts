/**
 * Speed of decoding and of prefill, of a model directory or of a synthetic model. All that is compared runs in turn, round
 * by round, so that a slow minute of the machine hits all alike; the first round warms up and is not counted.
 */
import type { ActivationBits } from "../model/description.ts";
import { type ShapeName, shapeConfig } from "../model/shapes.ts";
import { bestVariant, type Variant } from "../runtime/engine.ts";
import { Model } from "../runtime/model.ts";
import { syntheticDescription } from "../runtime/synthetic.ts";
import { usefulThreads } from "../runtime/threads.ts";
import { BandwidthProbe } from "./bandwidth.ts";
import { type BenchRun, Candidate } from "./candidate.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { HWMON } from "./power/hwmon.ts";
import type { Span } from "./power/integrate.ts";
import { PowerMeter, type PowerUse } from "./power/meter.ts";

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
  /** Default: the fastest. */
  variant?: Variant | undefined;
  /** Where Linux shows power monitors. Default: /sys/class/hwmon. */
  hwmon?: string;
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
  /** Where power monitors were looked for. */
  hwmon: string;
  runs: BenchRun[];
}

/** 1, 2, 4 and so on, up to the machine's cores, and these. */
export function defaultThreads(): number[] {
  const most = usefulThreads();
  const powers = Array.from({ length: Math.ceil(Math.log2(most)) }, (_, i) => 2 ** i);
  return [...powers, most];
}

export async function bench(options: BenchOptions): Promise<BenchResult> {
  const candidates = openCandidates(options);
  const probes = options.threads.map((count) => new BandwidthProbe(count, options.variant ?? bestVariant()));
  const meter = PowerMeter.open(options.hwmon ?? HWMON);
  try {
    await playRounds(options, candidates, probes);
    return resultOf(options, candidates, await meter?.stop());
  } finally {
    meter?.close();
    for (const { model } of candidates) model.close();
    for (const probe of probes) probe.close();
  }
}

/** The candidates keep their own figures. */
async function playRounds(
  { rounds, prefillTokens, decodeTokens, progress }: BenchOptions,
  candidates: readonly Candidate[],
  probes: readonly BandwidthProbe[],
): Promise<void> {
  const total = (rounds + 1) * candidates.length;
  let done = 0;
  for (let round = 0; round <= rounds; round++) {
    for (const candidate of candidates) {
      progress?.(done++, total, round === 0 ? "warming up" : `round ${round} of ${rounds}`);
      const probe = probes.find(({ threads }) => threads === candidate.model.threads)!;
      await candidate.play(prefillTokens, decodeTokens, probe);
    }
  }
}

function resultOf(
  { source, rounds, decodeTokens, prefillTokens, hwmon = HWMON }: BenchOptions,
  candidates: readonly Candidate[],
  powerIn?: (spans: readonly Span[]) => PowerUse,
): BenchResult {
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
    hwmon,
    runs: candidates.map((candidate) => candidate.result(decodeTokens, powerIn)),
  };
}

function openCandidates({ source, threads, variant }: BenchOptions): Candidate[] {
  return threads.flatMap((count) => {
    const options = { threads: count, ...(variant && { variant }) };
    if (typeof source === "string") return [new Candidate(Model.load(source, options))];
    const config = shapeConfig(source.shape, source.layers);
    return source.activationBits.map((activationBits) => {
      const description = syntheticDescription(config, { activationBits, headBits: source.headBits });
      return new Candidate(Model.synthetic(config, description, options));
    });
  });
}
