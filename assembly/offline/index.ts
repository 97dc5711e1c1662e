/**
 * FP32 kernels of the reference path. They run on the laptop only: outputs to compare with, calibration, evaluation.
 * Every transcendental is AssemblyScript's own software routine, so a result is the same on every engine.
 */
export { quantizeActivations } from "./codes";
export { conv } from "./conv";
export { add, gate, maxAbs, scaleColumns, timeStep } from "./elementwise";
export { inverseFactor } from "./factor";
export { hadamard } from "./hadamard";
export { accumulate, narrow, transpose } from "./linalg";
export { matmul } from "./matmul";
export { divergence, exp, logSumExp, sampleRow } from "./metrics";
export { rmsNorm } from "./norm";
export { roundRows } from "./round";
export { scan } from "./scan";

/** First byte the host may use: the module's own constant tables end here. */
export function heapBase(): usize {
  return __heap_base;
}
