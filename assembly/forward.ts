// Tokens through the model, in the paper's order. docs/numerics.md section 3 is this file in formulas.
//
// A pass is 1 to PASS_TOKENS tokens: layer by layer, weights read once for all of them, the state going from token to token within a head.
// Threads share the blocks of a matrix and the heads of a layer; a norm, a Hadamard transform and a quantization are the main thread's.
import { accelerated, forwardDevice, keepResidual } from "./accel-pass";
import { config, dInner, headRows, outProjRows } from "./config";
import { Factor, norm } from "./fixed";
import { lmHead, outProj, run } from "./jobs";
import { allocateSchedules, projectAndScan } from "./overlap";
import { allocatePass, codesAt, PASS_TOKENS, pass, ssmuOf, tokenAt } from "./pass";
import { EMBED, HEAD, HTU, lap, NQU, OUT_PROJ, SSMU, start } from "./profile";
import { advance, layerState, tokenIndex } from "./state";
import { productShift } from "./units/codes";
import { embedRow } from "./units/embed";
import { power } from "./units/exact";
import { transform } from "./units/htu";
import { guardBits, quantize } from "./units/nqu";
import { finishGate } from "./units/ssmu";
import { Layer, layerAt, weights } from "./weights";

/** Tokens after which the dither changes. */
const DITHER_PERIOD: u32 = 256;

/** The norm's factor that codeResidual or finishToken found last. */
export const factor: Factor = changetype<Factor>(memory.data(offsetof<Factor>(), 16));

/** Allocates what a pass needs. Called once, after the shape and the number of threads are set. */
export function allocateBuffers(): void {
  allocatePass();
  allocateSchedules();
}

/** i32 [PASS_TOKENS]: where the caller puts the tokens of a pass. */
export function tokensAt(): usize {
  return pass.ids;
}

export function passTokens(): i32 {
  return PASS_TOKENS;
}

/** Consumes one token: afterwards logits() holds the distribution of the next one. */
export function forward(state: usize, token: i32): void {
  store<i32>(pass.ids, token);
  forwardAll(state, 1, true);
}

/** Consumes `count` of tokensAt(); with `logits`, computes the distribution after the last one. */
export function forwardAll(state: usize, count: i32, logits: bool): void {
  if (accelerated()) forwardDevice(state, count, logits);
  else forwardHere(state, pass.ids, count, logits);
}

/** The same in WebAssembly, whether there is a device or not; ids i32 [count]. */
export function forwardHere(state: usize, ids: usize, count: i32, logits: bool): void {
  let from = 0;
  while (from < count) {
    const tokens = min(min(count - from, PASS_TOKENS), untilDither(state));
    pass.tokens = tokens;
    start();
    for (let t = 0; t < tokens; t++) embedToken(t, load<i32>(ids + ((<usize>(from + t)) << 2)));
    lap(EMBED);
    for (let i = 0; i < config.layers; i++) layer(state, i);
    from += tokens;
    if (logits && from == count) head();
    for (let t = 0; t < tokens; t++) advance(state);
  }
  pass.tokens = 1;
}

/** Tokens until the dither changes, which no pass reaches across. */
export function untilDither(state: usize): i32 {
  return <i32>(DITHER_PERIOD - (tokenIndex(state) & (DITHER_PERIOD - 1)));
}

/** Embedding row → residual of a pass of one. */
export function embed(token: i32): void {
  embedToken(0, token);
}

export function embedToken(t: i32, id: i32): void {
  embedRow(tokenAt(t).residual, id, pass.transform);
}

/** Layer i, from residual to residual; the state's token index is that of the first token being consumed. */
export function layer(state: usize, i: i32): void {
  const l = layerAt(i);
  start();
  pass.layer = i;
  pass.state = changetype<usize>(layerState(state, i));
  pass.first = tokenIndex(state);
  for (let t = 0; t < pass.tokens; t++) quantizeResidual(t);
  lap(NQU);
  projectAndScan();
  for (let t = 0; t < pass.tokens; t++) finishToken(t, l);
  lap(SSMU);
  if (l.rotates) for (let t = 0; t < pass.tokens; t++) rotate(ssmuOf(t).u);
  lap(HTU);
  for (let t = 0; t < pass.tokens; t++) quantizeInner(t, l);
  lap(NQU);
  run(dInner(), l.outPlanes, outProjRows(), outProj);
  lap(OUT_PROJ);
}

export function rotate(u: usize): void {
  const c = config;
  transform(u, c.hadamardBlocks, c.hadamardOrder, c.hadamardLog2, c.hadamardSigns, pass.transform);
}

/** Residual of the last token → logits; γ of the final norm is folded into lm_head. */
export function head(): void {
  start();
  quantizeResidual(pass.tokens - 1);
  lap(NQU);
  run(config.dModel, weights.headPlanes, headRows(), lmHead);
  lap(HEAD);
}

/** Residual → codes, and RMSNorm's factor for the rows of the matrix that follows. */
export function codeResidual(t: i32): void {
  const codes = codesAt(pass.modelCodes, t);
  quantize(tokenAt(t).residual, codes);
  norm(codes.sum + (config.residualEpsilon >> (2 * codes.exponent)), config.rootModel, config.rootModelShift, factor);
}

function quantizeResidual(t: i32): void {
  codeResidual(t);
  tokenAt(t).factor =
    <f64>factor.m * power(productShift(config.activationBits) + guardBits(config.activationBits) - factor.s);
}

/** The gated norm of a token: its factor goes into the rows of out_proj, except that of a grouped norm, which finishGate has applied. */
function finishToken(t: i32, l: Layer): void {
  const token = tokenAt(t);
  finishGate(ssmuOf(t), l, factor);
  token.factor = config.normGroups > 1 ? 1 : <f64>factor.m * power(l.fG - factor.s);
}

function quantizeInner(t: i32, l: Layer): void {
  const codes = codesAt(pass.innerCodes, t);
  quantize(ssmuOf(t).u, codes);
  tokenAt(t).factor *= power(productShift(config.activationBits) + codes.exponent - l.fU + config.residualFraction);
}

export function residualAt(): usize {
  keepResidual();
  return tokenAt(0).residual;
}

export function logitsAt(): usize {
  return pass.logits;
}
