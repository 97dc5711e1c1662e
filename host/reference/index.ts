export { generateGreedy, type SampleOptions, sampleText } from "./generate.ts";
export type { LinearSite, ObservedBlock, ObservedName, ReferenceHooks } from "./hooks.ts";
export { type Maxima, maximaHook } from "./maxima.ts";
export {
  argmax,
  crossEntropyAndKl,
  LogitComparison,
  type LogitMetrics,
  NO_TARGET,
  nextTokens,
  perplexity,
  tokenLogprobs,
  type Vocabulary,
} from "./metrics.ts";
export { type ForwardOptions, type ForwardResult, Reference, type ReferenceOptions } from "./reference.ts";
export {
  type Matrices,
  type OnlineHadamard,
  type ReferenceLayer,
  type ReferenceWeights,
  type Tables,
  weightsFromCheckpoint,
} from "./weights.ts";
