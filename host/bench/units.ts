/** Where the time of a token goes. */
import type { Model } from "../runtime/model.ts";

/** By the names of docs/units (MMU, SSMU, HTU, NQU), "embedding", "head" and so on. */
export interface UnitTime {
  unit: string;
  seconds: number;
}

/** Seconds each unit has worked since the model was loaded. Empty: the runtime does not count yet. */
function unitTimes(_model: Model): UnitTime[] {
  return [];
}

/** Starts a measurement; what it returns ends it. */
export function startUnits(model: Model): () => UnitTime[] {
  const before = new Map(unitTimes(model).map(({ unit, seconds }) => [unit, seconds]));
  return () => unitTimes(model).map(({ unit, seconds }) => ({ unit, seconds: seconds - (before.get(unit) ?? 0) }));
}
