/**
 * The public API of lightmamba.
 *
 * ```ts
 * import { generate, Model, promptIds } from "lightmamba";
 *
 * const model = Model.load("my-model-w4a4");
 * const session = model.session({ seed: 3 });
 * for (const { text } of generate(model, session, promptIds(model, "Once upon a time"))) process.stdout.write(text);
 * ```
 */
export { type Checkpoint, type Mamba2Config, openCheckpoint, type TensorInfo } from "./checkpoint/index.ts";
export {
  type Board,
  type BoardPlace,
  type Build,
  buildAddon,
  buildSimulation,
  type Command,
  CommandError,
  type Completion,
  Device,
  DeviceMemory,
  type DeviceOptions,
  MappedMemory,
  openBoard,
  Simulator,
  type SimulatorOptions,
} from "./device/index.ts";
export { type ErrorDetail, EXIT, type ExitName, LightMambaError } from "./errors.ts";
export { type EvaluateOptions, type Evaluation, evaluate } from "./evaluate.ts";
export {
  type GeneratedToken,
  type GenerateOptions,
  type GenerationSummary,
  generate,
  promptIds,
} from "./generate.ts";
export { checkIds, readIdsFile } from "./ids.ts";
export { type InspectedCheckpoint, type InspectedModel, type InspectedTensor, inspect } from "./inspect.ts";
export { LADDER, type Ladder, ladder, type Rung, type RungResult } from "./ladder.ts";
export type { CalibrationRecord, Fractions, ModelDescription, Rotation } from "./model/description.ts";
export { type QuantizeOptions, type QuantizeResult, quantizeCheckpoint } from "./quantize/index.ts";
export type { Accelerator, AcceleratorOptions, Partition } from "./runtime/accelerator.ts";
export type { Variant } from "./runtime/engine.ts";
export { type LoadOptions, Model } from "./runtime/model.ts";
export { type SamplerOptions, Session } from "./runtime/session.ts";
export { type SelftestStep, selftest } from "./selftest.ts";
export { loadTokenizer, type StreamDecoder, type Tokenizer } from "./tokenizer/index.ts";
export { isModelDirectory, type Trace, trace, writeTrace } from "./trace.ts";
