/** The published sizes of Mamba-2, and the configuration of each: what is measured where no checkpoint is at hand. */
import type { Mamba2Config } from "../checkpoint/types.ts";

/** Width of the model, and layers; everything else is the same in all of them. */
const SIZES = {
  "mamba2-130m": { dModel: 768, nLayers: 24 },
  "mamba2-370m": { dModel: 1024, nLayers: 48 },
  "mamba2-780m": { dModel: 1536, nLayers: 48 },
  "mamba2-1.3b": { dModel: 2048, nLayers: 48 },
  "mamba2-2.7b": { dModel: 2560, nLayers: 64 },
} as const;

export type ShapeName = keyof typeof SIZES;

export const SHAPE_NAMES = Object.keys(SIZES) as readonly ShapeName[];

const PREFIX = "mamba2-";

/** The shape a user means: "mamba2-370m", or "370m" for short. */
export function findShape(text: string): ShapeName | undefined {
  return SHAPE_NAMES.find((name) => name === text || name === `${PREFIX}${text}`);
}

/** `layers` makes it shallower, or deeper, than the published one. */
export function shapeConfig(name: ShapeName, layers: number = SIZES[name].nLayers): Mamba2Config {
  const { dModel } = SIZES[name];
  const headDim = 64;
  const dInner = 2 * dModel;
  return {
    format: "state-spaces",
    dModel,
    nLayers: layers,
    dInner,
    nHeads: dInner / headDim,
    headDim,
    dState: 128,
    nGroups: 1,
    convWidth: 4,
    vocabSize: 50288,
    vocabUsed: 50277,
    normEps: 1e-5,
    timeStepLimit: [0, Number.POSITIVE_INFINITY],
    useBias: false,
    useConvBias: true,
    tieEmbeddings: true,
    bosTokenId: 0,
    eosTokenIds: [0],
  };
}
