/** One layer, unit by unit: from the model, and from the counters of the simulated RTL where this very pass was recorded. */
import type { Configuration } from "../estimate/estimate.ts";
import { layerOf, modelledTimeline, type Span } from "../estimate/timeline.ts";
import type { Shape } from "../estimate/workload.ts";
import type { SimRow } from "./recorded.ts";

export interface Layer {
  /** Which one, and of how many that were simulated. */
  layer: number;
  layers: number;
  model: { spans: Span[]; cycles: number };
  rtl?: { spans: Span[]; cycles: number };
}

/** The first finds everything at rest; the third is like all that follow. */
const LAYERS = 3;

export function layerTimelines(shape: Shape, configuration: Configuration, recorded: SimRow | undefined): Layer {
  const layers = recorded === undefined ? Math.min(LAYERS, shape.config.nLayers) : layersOf(recorded.spans);
  const config = { ...shape.config, nLayers: layers };
  const layer = layers - 1;
  const short = { config, description: shape.description };
  const model = layerOf(modelledTimeline(short, configuration, { tokens: 1, logits: false }), layer);
  if (recorded === undefined) return { layer, layers, model };
  return { layer, layers, model, rtl: layerOf(recorded.spans, layer) };
}

const layersOf = (spans: readonly Span[]) => 1 + Math.max(...spans.map(({ layer }) => layer));
