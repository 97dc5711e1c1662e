/** What a user can choose, with its defaults. */
import type { ActivationBits, WeightRecipe } from "../model/description.ts";

export interface Recipe {
  weights: WeightRecipe;
  activationBits: ActivationBits;
  stateBits: 8 | 16;
  /** auto: the residual stream, and the vector before each out_proj, in the basis that loses less on calibration text. */
  rotation: "on" | "off" | "auto";
  /** Moves magnitude from the channels before out_proj into its weights (SmoothQuant, arXiv 2211.10438). */
  smooth: boolean;
}

export const DEFAULT_RECIPE: Recipe = {
  weights: { method: "gptq", wide: [], group: 32, embedding: "codes", powerOfTwoScales: false },
  activationBits: 4,
  stateBits: 8,
  rotation: "on",
  smooth: false,
};

/** Tokens of calibration text: rounding to nearest needs magnitudes only, error feedback needs statistics. */
export const CALIBRATION_TOKENS: Record<WeightRecipe["method"], number> = { rtn: 2048, gptq: 16384 };
