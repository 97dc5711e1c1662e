import type { ObservedName, ReferenceHooks } from "./hooks.ts";

/** Largest magnitudes seen: by block, then by name; entry nLayers has only `r`, the input of the final norm. */
export type Maxima = Partial<Record<ObservedName, number>>[];

/** A hook that raises `maxima` to what it sees, over as many calls as it is passed to. */
export function maximaHook(maxima: Maxima): Required<Pick<ReferenceHooks, "observe">> {
  return {
    observe(layer, name, block) {
      maxima[layer] ??= {};
      const entry = maxima[layer];
      entry[name] = Math.max(entry[name] ?? 0, block.maxAbs());
    },
  };
}
