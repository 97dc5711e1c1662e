export type { LinearSite, ObservedBlock, ObservedName, ReferenceHooks } from "./hooks.ts";
export { type ForwardOptions, type ForwardResult, Reference, type ReferenceOptions } from "./reference.ts";
export { type OnlineHadamard, type ReferenceLayer, type ReferenceWeights, weightsFromCheckpoint } from "./weights.ts";
