/** What a user can choose, with its defaults. */
import type { ActivationBits, WeightRecipe } from "../model/description.ts";

export interface Recipe {
  weights: WeightRecipe;
  activationBits: ActivationBits;
  stateBits: 8 | 16;
  rotation: boolean;
}

export const DEFAULT_RECIPE: Recipe = {
  weights: { method: "gptq", headBits: 4, group: 32, powerOfTwoScales: false },
  activationBits: 4,
  stateBits: 8,
  rotation: true,
};

/** Tokens of calibration text: rounding to nearest needs magnitudes only, error feedback needs statistics. */
export const CALIBRATION_TOKENS: Record<WeightRecipe["method"], number> = { rtn: 2048, gptq: 16384 };
