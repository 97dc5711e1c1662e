// The shape of the model, one per instance. Checked by the host before it is set.
import { ACTIVATION_GROUP, BLOCK_ROWS, STATE_GROUP, WEIGHT_GROUP } from "./contract";

/** D = dModel, E = heads·headDim, H = heads, P = headDim, N = dState, G = groups, W = convWidth, V = vocab. */
@unmanaged
export class Config {
  dModel: i32;
  layers: i32;
  heads: i32;
  headDim: i32;
  dState: i32;
  groups: i32;
  convWidth: i32;
  vocab: i32;
  /** Groups of the gated RMSNorm: 1, or `groups`. */
  normGroups: i32;
  /** 4: codes with zero points in groups of 16; 5, 6: symmetric in groups of 32; 8: one scale a vector. */
  activationBits: i32;
  /** Inputs that share a weight scale: 16 or 32. */
  weightGroup: i32;
  /** Bits of a state code: 8 or 16. */
  stateBits: i32;
  /** Fraction bits of the residual stream. */
  residualFraction: i32;
  /** Clamp of softplus(dt + bias), Q24. */
  timeStepLow: i64;
  timeStepHigh: i64;
  /** HTU of the layers that use it: dInner = hadamardBlocks · hadamardOrder · 2^hadamardLog2. */
  hadamardBlocks: i32;
  hadamardOrder: i32;
  hadamardLog2: i32;
  hadamardSigns: usize; // i8 [m][m], ±1
  /** eps · D · 2^(2(FR + F)), the epsilon of the residual's norms in the unit of NQU's sum of squares. */
  residualEpsilon: u64;
  /** sqrt(D) and sqrt(E / normGroups) as mantissa · 2^(-shift). */
  rootModel: i32;
  rootModelShift: i32;
  rootInner: i32;
  rootInnerShift: i32;
}

export const config: Config = changetype<Config>(memory.data(offsetof<Config>(), 16));

export function dInner(): i32 {
  return config.heads * config.headDim;
}

/** Channels of the convolution: x, B, C. */
export function convChannels(): i32 {
  return dInner() + 2 * config.groups * config.dState;
}

/** State groups along n, the last one padded. */
export function stateGroups(): i32 {
  return (config.dState + STATE_GROUP - 1) / STATE_GROUP;
}

function padded(rows: i32): i32 {
  return (rows + BLOCK_ROWS - 1) & ~(BLOCK_ROWS - 1);
}

/** Rows of in_proj as stored: B, C, dt, then x and z head by head, each part padded to whole blocks. */
export function inProjRows(): i32 {
  const c = config;
  return 2 * padded(c.groups * c.dState) + padded(c.heads) + 2 * c.heads * padded(c.headDim);
}

export function outProjRows(): i32 {
  return padded(config.dModel);
}

export function headRows(): i32 {
  return padded(config.vocab);
}

/** Rows of one head's x or z, padding included. */
export function headBlockRows(): i32 {
  return padded(config.headDim);
}

/** Rows of B (or C), and of dt, padding included. */
export function bcBlockRows(): i32 {
  return padded(config.groups * config.dState);
}

export function dtBlockRows(): i32 {
  return padded(config.heads);
}

/** Inputs of a linear layer as stored: whole weight groups. */
export function paddedInputs(k: i32): i32 {
  return (k + WEIGHT_GROUP - 1) & ~(WEIGHT_GROUP - 1);
}

export function activationGroups(k: i32): i32 {
  return paddedInputs(k) / ACTIVATION_GROUP;
}
