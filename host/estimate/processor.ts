/** What is left to the processor: instructions of the runtime, as they were counted (bench/a72), at a rate that nobody has measured. */
import { identityShape } from "../model/hadamard.ts";
import type { Partition } from "../runtime/accelerator.ts";
import type { Shape } from "./workload.ts";

/** Numbers of `processor` in boards/*.yaml. */
export interface Processor {
  readonly clock_mhz: number;
  readonly instructions_per_cycle: number;
  readonly doorbell_us: number;
  readonly sampling_us: number;
}

/** Instructions, of bench/a72/counts.json: tests/estimate holds these against it. */
const A_VALUE_CODED = { 4: 24.3, 5: 24.3, 6: 24.3, 8: 19 } as const;
/** For a value and each butterfly or row of the matrix. */
const A_VALUE_TURNED = 1.6;
const A_VALUE_EMBEDDED = 29;

/** Norm and codes of both vectors of a layer, and the transform. */
export function layerInstructions({ config, description }: Shape): number {
  const { dModel, dInner } = config;
  const { inner } = description.rotation;
  const passed = inner.blocks === identityShape(dInner).blocks;
  const steps = passed ? 0 : inner.log2 + (inner.order > 1 ? inner.order : 0);
  return A_VALUE_CODED[description.activationBits] * (dModel + dInner) + A_VALUE_TURNED * dInner * steps;
}

/** Seconds of a pass in which the device waits for the processor. Prompts are not sampled. */
export function processorSeconds(
  shape: Shape,
  processor: Processor | undefined,
  { partition, tokens, logits }: { partition: Partition; tokens: number; logits: boolean },
): number {
  if (processor === undefined) return 0;
  const { clock_mhz, instructions_per_cycle, doorbell_us, sampling_us } = processor;
  const { nLayers, dModel } = shape.config;
  const sampling = logits ? sampling_us * 1e-6 : 0;
  if (partition === "fused") return doorbell_us * 1e-6 + sampling;
  const doorbells = 2 * nLayers + Number(logits);
  const once = dModel * (tokens * A_VALUE_EMBEDDED + (logits ? A_VALUE_CODED[shape.description.activationBits] : 0));
  const instructions = tokens * nLayers * layerInstructions(shape) + once;
  return doorbells * doorbell_us * 1e-6 + instructions / (clock_mhz * 1e6 * instructions_per_cycle) + sampling;
}
