// The exported API of runtime.wasm: the same file on laptop, RTL and board.
//
// Order of calls: setThreads, configure, then every set…, then finish; with a device setBuild, planDevice, setDeviceWeights, openDevice; allocate and resetState for each
// conversation; forward and sample per token.
// Pointers are bytes in linear memory. The host checks sizes and ranges before it calls (host/runtime/load.ts).
import { config } from "./config";
import { allocateBuffers } from "./forward";
import { allocate } from "./memory";
import { allocateSampler } from "./sampler";
import { Layer, layerAt, weights } from "./weights";

export { misfitFound, misfitLimit, planDevice, setBuild } from "./accel-build";
export { deviceDataBytes, deviceWeightBytes, openDevice, resetState, setDeviceWeights, settle } from "./accel-pass";
export { headRows, inProjRows, outProjRows, paddedInputs } from "./config";
export { embed, forward, forwardAll, head, layer, logitsAt, passTokens, residualAt, tokensAt } from "./forward";
export { allocate, readBytes } from "./memory";
export { profile, unitSeconds } from "./profile";
export { observe, sample, samplerBytes, samplerMemory, seedSampler, setSampler } from "./sampler";
export { advance, checkState, stateBytes } from "./state";
export { serve, setThreads } from "./threads";
export { blockBytes } from "./units/mmu";

/** Bumped when the meaning of any export, or of the numbers, changes. */
export function version(): i32 {
  return 2;
}

/** The shape; letters as in config.ts. activationBits 4, 5, 6 or 8; weightGroup 16 or 32; stateBits 8 or 16. */
export function configure(
  dModel: i32,
  layers: i32,
  heads: i32,
  headDim: i32,
  dState: i32,
  groups: i32,
  convWidth: i32,
  vocab: i32,
  normGroups: i32,
  activationBits: i32,
  weightGroup: i32,
  stateBits: i32,
  residualFraction: i32,
): void {
  config.dModel = dModel;
  config.layers = layers;
  config.heads = heads;
  config.headDim = headDim;
  config.dState = dState;
  config.groups = groups;
  config.convWidth = convWidth;
  config.vocab = vocab;
  config.normGroups = normGroups;
  config.activationBits = activationBits;
  config.weightGroup = weightGroup;
  config.stateBits = stateBits;
  config.residualFraction = residualFraction;
  weights.layers = allocate(<usize>layers * offsetof<Layer>());
}

/** sqrt(D) = rootModel · 2^-rootModelShift, sqrt(E / normGroups) likewise; epsilon in the unit of NQU's sum of squares. */
export function setNorm(
  residualEpsilon: u64,
  rootModel: i32,
  rootModelShift: i32,
  rootInner: i32,
  rootInnerShift: i32,
): void {
  config.residualEpsilon = residualEpsilon;
  config.rootModel = rootModel;
  config.rootModelShift = rootModelShift;
  config.rootInner = rootInner;
  config.rootInnerShift = rootInnerShift;
}

/** dInner = blocks · order · 2^log2; signs i8 [order][order]. */
export function setHadamard(blocks: i32, order: i32, log2: i32, signs: usize): void {
  config.hadamardBlocks = blocks;
  config.hadamardOrder = order;
  config.hadamardLog2 = log2;
  config.hadamardSigns = signs;
}

/** Clamp of softplus(dt + bias), Q24. */
export function setTimeStepLimits(low: i64, high: i64): void {
  config.timeStepLow = low;
  config.timeStepHigh = high;
}

/** codes i8 [V][D], scale u16 [V], exponent i8 [V]. */
export function setEmbedding(codes: usize, scale: usize, exponent: usize): void {
  weights.embedding = codes;
  weights.embeddingScale = scale;
  weights.embeddingExponent = exponent;
}

/**
 * Instead of setEmbedding, for an 8-bit lm_head: rows are those of lm_head, turned back out of the final γ.
 * inverseGamma i16 [D] in Q fraction; D = blocks · order · 2^log2; signs and their transpose i8 [order][order].
 */
export function setTiedEmbedding(
  inverseGamma: usize,
  fraction: i32,
  blocks: i32,
  order: i32,
  log2: i32,
  signs: usize,
  transposed: usize,
): void {
  weights.embedding = 0;
  weights.inverseGamma = inverseGamma;
  weights.inverseGammaFraction = fraction;
  weights.tiedBlocks = blocks;
  weights.tiedOrder = order;
  weights.tiedLog2 = log2;
  weights.tiedSigns = signs;
  weights.tiedTransposed = transposed;
}

/** frames u8 [headRows/8][block], or [headRows/8][2][block] for 8 bits; row exponents i8 [headRows]. */
export function setHead(frames: usize, rowExponents: usize, bits: i32): void {
  weights.headPlanes = bits / 4;
  weights.headFrames = frames;
  weights.headRowExponents = rowExponents;
}

/** frames u8 [inProjRows/8][planes][block], row exponents i8 [rows], bias i32 [rows] or 0; bits of a code 4 or 8. */
export function setInProj(i: i32, frames: usize, rowExponents: usize, bias: usize, bits: i32): void {
  const l = layerAt(i);
  l.inPlanes = bits / 4;
  l.inFrames = frames;
  l.inRowExponents = rowExponents;
  l.inBias = bias;
}

/** The same of out_proj; rotates: 1 when the HTU runs before it. */
export function setOutProj(i: i32, frames: usize, rowExponents: usize, bias: usize, bits: i32, rotates: i32): void {
  const l = layerAt(i);
  l.outPlanes = bits / 4;
  l.rotates = rotates;
  l.outFrames = frames;
  l.outRowExponents = rowExponents;
  l.outBias = bias;
}

/** weights i16 [W][C], bias i32 [C]. */
export function setConv(i: i32, convWeights: usize, bias: usize): void {
  const l = layerAt(i);
  l.convWeights = convWeights;
  l.convBias = bias;
}

/** decay u16 [H], decayShift u8 [H], dtBias i32 [H], skip i16 [H], gamma i16 [E]. */
export function setHeads(i: i32, decay: usize, decayShift: usize, dtBias: usize, skip: usize, gamma: usize): void {
  const l = layerAt(i);
  l.decay = decay;
  l.decayShift = decayShift;
  l.dtBias = dtBias;
  l.skip = skip;
  l.gamma = gamma;
}

/** Static fraction bits of layer i, and its gated norm's epsilon in Q(2 g). */
export function setFractions(
  i: i32,
  z: i32,
  x: i32,
  b: i32,
  c: i32,
  dt: i32,
  conv: i32,
  xs: i32,
  bs: i32,
  cs: i32,
  skip: i32,
  zs: i32,
  g: i32,
  gamma: i32,
  u: i32,
  gateEpsilon: u64,
): void {
  const l = layerAt(i);
  l.fZ = z;
  l.fX = x;
  l.fB = b;
  l.fC = c;
  l.fDt = dt;
  l.fConv = conv;
  l.fXs = xs;
  l.fBs = bs;
  l.fCs = cs;
  l.fSkip = skip;
  l.fZs = zs;
  l.fG = g;
  l.fGamma = gamma;
  l.fU = u;
  l.gateEpsilon = gateEpsilon;
}

/** Allocates the working buffers; afterwards tokens can be consumed. */
export function finish(): void {
  allocateBuffers();
  allocateSampler();
}
