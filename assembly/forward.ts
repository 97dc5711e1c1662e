// One decode step, in the paper's order. docs/numerics.md section 3 is this file in formulas.
import {
  bcBlockRows,
  config,
  dInner,
  dtBlockRows,
  headBlockRows,
  headRows,
  inProjRows,
  outProjRows,
  paddedInputs,
} from "./config";
import { BLOCK_ROWS, LOGIT_FRACTION, ROW_SKEW } from "./contract";
import { clamp, Factor, norm, rsh, sat } from "./fixed";
import { allocate } from "./memory";
import { advance, layerState, tokenIndex } from "./state";
import { embedRow, RESIDUAL_LIMIT } from "./units/embed";
import { transform } from "./units/htu";
import { gemv, productShift } from "./units/mmu";
import { allocateCodes, Codes, guardBits, quantize } from "./units/nqu";
import { allocateSsmu, gate, SsmuBuffers, scan } from "./units/ssmu";
import { Layer, layerAt, weights } from "./weights";

let residual: usize = 0; // i32 [D padded to 32], Q residualFraction
let acc: usize = 0; //      i32 [2 · largest row count of a matrix]: two planes of an 8-bit one
let logits: usize = 0; //   i32 [V padded to 8], Q16
let scratch: usize = 0; //  i32 [E] for the HTU, [2 · padded D] for the embedding
const modelCodes: Codes = changetype<Codes>(memory.data(offsetof<Codes>(), 16));
const innerCodes: Codes = changetype<Codes>(memory.data(offsetof<Codes>(), 16));
const ssmu: SsmuBuffers = changetype<SsmuBuffers>(memory.data(offsetof<SsmuBuffers>(), 16));
const factor: Factor = changetype<Factor>(memory.data(offsetof<Factor>(), 16));

/** Allocates what one token needs. Called once, after the shape is set. */
export function allocateBuffers(): void {
  residual = allocate(paddedInputs(config.dModel) * 4);
  acc = allocate(2 * max(max(inProjRows(), outProjRows()), headRows()) * 4);
  logits = allocate(headRows() * 4);
  scratch = allocate(max(dInner(), 2 * paddedInputs(config.dModel)) * 4);
  allocateCodes(modelCodes, config.dModel, config.activationBits);
  allocateCodes(innerCodes, dInner(), config.activationBits);
  allocateSsmu(ssmu, paddedInputs(dInner()));
}

/** Consumes one token: afterwards logits() holds the distribution of the next one. */
export function forward(state: usize, token: i32): void {
  embed(token);
  for (let i = 0; i < config.layers; i++) layer(state, i);
  head();
  advance(state);
}

/** Embedding row → residual. */
export function embed(token: i32): void {
  embedRow(residual, token, scratch);
}

/** Layer i, from residual to residual; the state's token index is that of the token being consumed. */
export function layer(state: usize, i: i32): void {
  const l = layerAt(i);
  quantize(residual, modelCodes);
  gemv(acc, l.inFrames, modelCodes, (l.inPlanes * inProjRows()) / BLOCK_ROWS);
  scaleInProj(l);
  scan(ssmu, l, layerState(state, i), tokenIndex(state));
  gate(ssmu, l, factor);
  if (l.rotates) rotate();
  quantize(ssmu.u, innerCodes);
  gemv(acc, l.outFrames, innerCodes, (l.outPlanes * outProjRows()) / BLOCK_ROWS);
  addOutProj(l);
}

function rotate(): void {
  const c = config;
  transform(ssmu.u, c.hadamardBlocks, c.hadamardOrder, c.hadamardLog2, c.hadamardSigns, scratch);
}

/** Residual → logits; γ of the final norm is folded into lm_head. */
export function head(): void {
  const planes = weights.headPlanes;
  quantize(residual, modelCodes);
  gemv(acc, weights.headFrames, modelCodes, (planes * headRows()) / BLOCK_ROWS);
  const shift = residualShift() - LOGIT_FRACTION;
  const m = <i64>factor.m;
  for (let row = 0; row < config.vocab; row++) {
    const s = shift - <i32>load<i8>(weights.headRowExponents + row);
    store<i32>(logits + ((<usize>row) << 2), <i32>sat(rsh(rowSum(row, planes) * m, s), 32));
  }
}

/** Sum of a row; of 8-bit codes, 16 times the high plane's and the low plane's. */
function rowSum(row: i32, planes: i32): i64 {
  if (planes == 1) return load<i32>(acc + ((<usize>row) << 2));
  const block = row / BLOCK_ROWS;
  const at = acc + ((<usize>(block * BLOCK_ROWS + row)) << 2);
  return ((<i64>load<i32>(at)) << 4) + <i64>load<i32>(at + BLOCK_ROWS * 4);
}

export function residualAt(): usize {
  return residual;
}

export function logitsAt(): usize {
  return logits;
}

/** RMSNorm of the residual: sets factor.m, returns the shift of a row with exponent and fraction 0. */
function residualShift(): i32 {
  const epsilon = config.residualEpsilon >> (2 * modelCodes.exponent);
  norm(modelCodes.sum + epsilon, config.rootModel, config.rootModelShift, factor);
  return factor.s - productShift(config.activationBits) - guardBits(config.activationBits);
}

/** acc → int16 z, x | B | C and dt of the SSMU. Rows: B, C, dt, then x of head h beside z of head h - ROW_SKEW. */
function scaleInProj(l: Layer): void {
  const shift = residualShift();
  const e = dInner();
  const n = config.groups * config.dState;
  const b = ssmu.conv + ((<usize>e) << 1);
  let row = scaleRows(l, 0, n, shift - l.fB, b);
  row = scaleRows(l, bcBlockRows(), n, shift - l.fC, b + ((<usize>n) << 1));
  row = 2 * bcBlockRows();
  scaleRows(l, row, config.heads, shift - l.fDt, ssmu.dt);
  row += dtBlockRows();
  const p = config.headDim;
  for (let h = 0; h < config.heads + ROW_SKEW; h++) {
    if (h < config.heads) {
      scaleRows(l, row, p, shift - l.fX, ssmu.conv + ((<usize>(h * p)) << 1));
      row += headBlockRows();
    }
    if (h >= ROW_SKEW) {
      scaleRows(l, row, p, shift - l.fZ, ssmu.z + ((<usize>((h - ROW_SKEW) * p)) << 1));
      row += headBlockRows();
    }
  }
}

/** out i16 [count] from rows row.. of acc. */
function scaleRows(l: Layer, row: i32, count: i32, shift: i32, out: usize): i32 {
  const m = <i64>factor.m;
  for (let i = 0; i < count; i++) {
    const r = <usize>(row + i);
    let y = rsh(rowSum(row + i, l.inPlanes) * m, shift - <i32>load<i8>(l.inRowExponents + r));
    if (l.inBias) y += <i64>load<i32>(l.inBias + (r << 2));
    store<i16>(out + ((<usize>i) << 1), <i16>sat(y, 16));
  }
  return row + count;
}

/** residual += out_proj rows, scaled by the gated norm's factor (which a grouped norm has applied already). */
function addOutProj(l: Layer): void {
  const fixedUp = productShift(config.activationBits) + innerCodes.exponent - l.fU + config.residualFraction;
  const grouped = config.normGroups > 1;
  const m: i64 = grouped ? 0x8000 : <i64>factor.m;
  const shift = (grouped ? 15 : factor.s - l.fG) - fixedUp;
  for (let row = 0; row < config.dModel; row++) {
    const word = (<usize>row) << 2;
    const at = residual + word;
    let y = rsh(rowSum(row, l.outPlanes) * m, shift - <i32>load<i8>(l.outRowExponents + row));
    if (l.outBias) y += <i64>load<i32>(l.outBias + word);
    store<i32>(at, <i32>clamp(<i64>load<i32>(at) + y, -RESIDUAL_LIMIT, RESIDUAL_LIMIT));
  }
}
