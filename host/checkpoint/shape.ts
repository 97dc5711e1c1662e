/** The sizes of a model: their bounds, and how they must fit together. */

import { badInput, LightMambaError } from "../errors.ts";
import type { Fields } from "./fields.ts";
import type { Mamba2Shape } from "./types.ts";

/** Sizes a configuration gives; the others follow from them. */
type GivenSize = Exclude<keyof Mamba2Shape, "dInner" | "nHeads" | "vocabSize">;

/** Where a size stands in a configuration. No fallback: it must be there. */
type Source = [fields: Fields, key: string, fallback?: number];

/**
 * Far above any model there is, and low enough that no product of sizes is inexact and no list of tensors fills the
 * memory.
 */
const HIGHEST: Record<GivenSize, number> = {
  dModel: 2 ** 17,
  nLayers: 2 ** 12,
  headDim: 2 ** 16,
  dState: 2 ** 16,
  nGroups: 2 ** 12,
  convWidth: 2 ** 8,
};
const HIGHEST_EXPAND = 64;
export const VOCABULARY: [low: number, high: number] = [1, 2 ** 24];
/** Elements of one tensor: 16 GiB in FP32. */
const LARGEST_TENSOR = 2 ** 32;

/** Reads the sizes and derives the others. */
export function readShape(vocabSize: number, sources: Record<GivenSize | "expand", Source>): Mamba2Shape {
  const size = (name: GivenSize) => {
    const [fields, key, fallback] = sources[name];
    return fields.integer(key, [1, HIGHEST[name]], fallback);
  };
  const misfit = (name: keyof typeof sources, expected: string, found: string) => {
    const [fields, key] = sources[name];
    const where = { file: fields.file, field: fields.name(key) };
    return badInput("the sizes do not fit together", { ...where, expected, found });
  };
  const dModel = size("dModel");
  const headDim = size("headDim");
  const dState = size("dState");
  const nGroups = size("nGroups");
  const dInner = readInnerSize(dModel, sources.expand);
  const nHeads = dInner / headDim;
  if (!Number.isInteger(nHeads)) throw misfit("headDim", `a divisor of the inner size ${dInner}`, `${headDim}`);
  if (nHeads % nGroups !== 0) throw misfit("nGroups", `a divisor of the number of heads ${nHeads}`, `${nGroups}`);
  const largest = Math.max(vocabSize, 2 * dInner + 2 * nGroups * dState + nHeads) * dModel;
  if (largest > LARGEST_TENSOR) throw misfit("dModel", `tensors of at most ${LARGEST_TENSOR} elements`, `${largest}`);
  const convWidth = readConvWidth(size("convWidth"), sources.convWidth);
  return { dModel, nLayers: size("nLayers"), dInner, nHeads, headDim, dState, nGroups, convWidth, vocabSize };
}

/** An expand such as 1.1 has no exact double: its product with the width is an integer only nearly. */
function readInnerSize(dModel: number, [fields, key, fallback]: Source): number {
  const expand = fields.positive(key, HIGHEST_EXPAND, fallback);
  const exact = expand * dModel;
  const dInner = Math.round(exact);
  if (dInner < 1 || Math.abs(exact - dInner) > 1e-6 * exact) {
    const expected = `a factor that makes ${dModel} an integer`;
    const where = { file: fields.file, field: fields.name(key) };
    throw badInput("the sizes do not fit together", { ...where, expected, found: `${dModel} * ${expand} = ${exact}` });
  }
  return dInner;
}

function readConvWidth(convWidth: number, [fields, key]: Source): number {
  if (convWidth < 2 || convWidth > 4) {
    const detail = { file: fields.file, field: fields.name(key), expected: "2 to 4 taps", found: convWidth };
    throw new LightMambaError("unsupported", "a convolution of this width is not supported", detail);
  }
  return convWidth;
}
