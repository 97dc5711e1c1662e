// Tokens through the model, in the paper's order. docs/numerics.md section 3 is this file in formulas.
//
// A pass is 1 to PASS_TOKENS tokens: layer by layer, weights read once for all of them, the state going from token to token within a head.
// Threads share the blocks of a matrix and the heads of a layer; a norm, a Hadamard transform and a quantization are the main thread's.
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
import { Factor, norm } from "./fixed";
import { allocate } from "./memory";
import { EMBED, HEAD, HTU, IN_PROJ, lap, NQU, OUT_PROJ, SSMU, start } from "./profile";
import { advance, LayerState, layerState, tokenIndex } from "./state";
import { parallel, threads } from "./threads";
import { allocateCodes, Codes, productShift } from "./units/codes";
import { embedRow, RESIDUAL_LIMIT } from "./units/embed";
import { power } from "./units/exact";
import { transform } from "./units/htu";
import { blockBytes, GEMM_SCRATCH, gemm, gemv } from "./units/mmu";
import { guardBits, quantize } from "./units/nqu";
import { POWER_BYTES, rowPowers, scaleRows, VALUE_BYTES } from "./units/rows";
import {
  allocateSsmu,
  allocateSsmuScratch,
  finishGate,
  gateHead,
  prepareHeads,
  SsmuBuffers,
  SsmuScratch,
  scanHead,
} from "./units/ssmu";
import { allocateTables } from "./units/tables";
import { Layer, layerAt, weights } from "./weights";

/** Tokens of a pass, at most. */
export const PASS_TOKENS: i32 = 16;
/** Tokens after which the dither changes: no pass reaches across. */
const DITHER_PERIOD: u32 = 256;
/** Weight bytes of a part of a job: some microseconds. */
const PART_BYTES: i32 = 65536;

/** One token of a pass. */
@unmanaged
class Token {
  residual: usize; // i32 [D padded to 32], Q residualFraction
  ssmu: usize; //     SsmuBuffers
  factor: f64; //     of a row scale: m · 2^-shift for a row with exponent and fraction 0
}

/** What a thread needs for itself. */
@unmanaged
class Scratch {
  sums: usize; // i32 [blocks of a part · planes][tokens][8], then GEMM_SCRATCH and one row of sums
  powers: usize; // f64 [8], then i32 [8]: a block's row powers, and its values
  ssmu: usize; // SsmuScratch
}

/** Where the 8 rows of an in_proj block go: z, x | B | C or dt of a token. */
@unmanaged
class Target {
  segment: i32; // Z, X, B, C or DT
  at: i32; //      first element
  rows: i32; //    the others are padding
}

const Z: i32 = 0;
const X: i32 = 1;
const B: i32 = 2;
const C: i32 = 3;
const DT: i32 = 4;

/** Everything that threads share beside weights and state. In linear memory: module variables are a thread's own. */
@unmanaged
class Pass {
  tokens: i32; //      of this pass
  first: u32; //       index of the first
  layer: i32;
  state: usize; //     LayerState of that layer
  partBlocks: i32; //  of the matrix at work
  ids: usize; //       i32 [PASS_TOKENS]
  token: usize; //     Token [PASS_TOKENS]
  modelCodes: usize; // Codes [PASS_TOKENS], of D inputs
  innerCodes: usize; // Codes [PASS_TOKENS], of E inputs
  targets: usize; //   Target [blocks of in_proj]
  scratch: usize; //   Scratch [threads]
  transform: usize; // i32 [E] for the HTU, [2 · padded D] for the embedding
  logits: usize; //    i32 [V padded to 8], Q16, of the last token
}

const pass: Pass = changetype<Pass>(memory.data(offsetof<Pass>(), 16));
const factor: Factor = changetype<Factor>(memory.data(offsetof<Factor>(), 16));

function tokenAt(t: i32): Token {
  return changetype<Token>(pass.token + <usize>t * offsetof<Token>());
}

function ssmuOf(t: i32): SsmuBuffers {
  return changetype<SsmuBuffers>(tokenAt(t).ssmu);
}

function codesAt(codes: usize, t: i32): Codes {
  return changetype<Codes>(codes + <usize>t * offsetof<Codes>());
}

function scratchOf(thread: i32): Scratch {
  return changetype<Scratch>(pass.scratch + <usize>thread * offsetof<Scratch>());
}

/** Allocates what a pass needs. Called once, after the shape and the number of threads are set. */
export function allocateBuffers(): void {
  pass.ids = allocate(PASS_TOKENS * 4);
  pass.token = allocate(PASS_TOKENS * offsetof<Token>());
  pass.modelCodes = allocate(PASS_TOKENS * offsetof<Codes>());
  pass.innerCodes = allocate(PASS_TOKENS * offsetof<Codes>());
  for (let t = 0; t < PASS_TOKENS; t++) {
    const token = tokenAt(t);
    token.residual = allocate(paddedInputs(config.dModel) * 4);
    token.ssmu = allocate(offsetof<SsmuBuffers>());
    allocateSsmu(ssmuOf(t), paddedInputs(dInner()));
    allocateCodes(codesAt(pass.modelCodes, t), config.dModel, config.activationBits);
    allocateCodes(codesAt(pass.innerCodes, t), dInner(), config.activationBits);
  }
  const blocks = max(partBlocks(config.dModel, 1), partBlocks(dInner(), 1));
  pass.scratch = allocate(threads() * offsetof<Scratch>());
  for (let thread = 0; thread < threads(); thread++) {
    const scratch = scratchOf(thread);
    scratch.sums = allocate(<usize>(blocks * PASS_TOKENS + 1) * BLOCK_ROWS * 4 + GEMM_SCRATCH);
    scratch.powers = allocate(POWER_BYTES + VALUE_BYTES);
    scratch.ssmu = allocate(offsetof<SsmuScratch>());
    allocateSsmuScratch(changetype<SsmuScratch>(scratch.ssmu));
  }
  pass.transform = allocate(max(dInner(), 2 * paddedInputs(config.dModel)) * 4);
  pass.logits = allocate(headRows() * 4);
  pass.tokens = 1;
  allocateTables();
  setTargets();
}

/** in_proj's rows: B, C, dt, then x of head h beside z of head h - ROW_SKEW. */
function setTargets(): void {
  pass.targets = allocate((inProjRows() / BLOCK_ROWS) * offsetof<Target>());
  const e = dInner();
  const n = config.groups * config.dState;
  const p = config.headDim;
  let block = setSegment(0, B, e, n, bcBlockRows());
  block = setSegment(block, C, e + n, n, bcBlockRows());
  block = setSegment(block, DT, 0, config.heads, dtBlockRows());
  for (let h = 0; h < config.heads + ROW_SKEW; h++) {
    if (h < config.heads) block = setSegment(block, X, h * p, p, headBlockRows());
    if (h >= ROW_SKEW) block = setSegment(block, Z, (h - ROW_SKEW) * p, p, headBlockRows());
  }
}

/** Blocks from `block` on are `count` elements of a segment from `at` on; returns the block behind them. */
function setSegment(block: i32, segment: i32, at: i32, count: i32, rows: i32): i32 {
  for (let row = 0; row < rows; row += BLOCK_ROWS) {
    const target = targetOf(block++);
    target.segment = segment;
    target.at = at + row;
    target.rows = min(count - row, BLOCK_ROWS);
  }
  return block;
}

function targetOf(block: i32): Target {
  return changetype<Target>(pass.targets + <usize>block * offsetof<Target>());
}

/** Blocks of 8 rows (of each plane) in one part of a job: an even number where there is more than one. */
function partBlocks(inputs: i32, planes: i32): i32 {
  const blocks = PART_BYTES / (planes * blockBytes(paddedInputs(inputs)));
  return max(1, blocks & ~1);
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
  let from = 0;
  while (from < count) {
    const tokens = min(count - from, <i32>(DITHER_PERIOD - (tokenIndex(state) & (DITHER_PERIOD - 1))));
    pass.tokens = tokens;
    start();
    for (let t = 0; t < tokens; t++) embedToken(t, load<i32>(pass.ids + ((<usize>(from + t)) << 2)));
    lap(EMBED);
    for (let i = 0; i < config.layers; i++) layer(state, i);
    from += tokens;
    if (logits && from == count) head();
    for (let t = 0; t < tokens; t++) advance(state);
  }
  pass.tokens = 1;
}

/** Embedding row → residual of a pass of one. */
export function embed(token: i32): void {
  embedToken(0, token);
}

function embedToken(t: i32, id: i32): void {
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
  run(config.dModel, l.inPlanes, inProjRows(), inProj);
  lap(IN_PROJ);
  for (let t = 0; t < pass.tokens; t++) {
    const scratch = changetype<SsmuScratch>(scratchOf(0).ssmu);
    prepareHeads(ssmuOf(t), l, changetype<LayerState>(pass.state), pass.first + t, scratch);
  }
  parallel(config.heads, heads);
  for (let t = 0; t < pass.tokens; t++) finishToken(t, l);
  lap(SSMU);
  if (l.rotates) for (let t = 0; t < pass.tokens; t++) rotate(ssmuOf(t).u);
  lap(HTU);
  for (let t = 0; t < pass.tokens; t++) quantizeInner(t, l);
  lap(NQU);
  run(dInner(), l.outPlanes, outProjRows(), outProj);
  lap(OUT_PROJ);
}

function rotate(u: usize): void {
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

/** A job over the blocks of a matrix. */
function run(inputs: i32, planes: i32, rows: i32, job: (part: i32, thread: i32) => void): void {
  pass.partBlocks = partBlocks(inputs, planes);
  const blocks = rows / BLOCK_ROWS;
  parallel((blocks + pass.partBlocks - 1) / pass.partBlocks, job);
}

function blocksOf(part: i32, rows: i32): i32 {
  return min(rows / BLOCK_ROWS - part * pass.partBlocks, pass.partBlocks);
}

/** Sums of a part's blocks: i32 [blocks][planes][tokens][8]. */
function multiply(frames: usize, planes: i32, codes: usize, tokens: i32, part: i32, blocks: i32, thread: i32): usize {
  const sums = scratchOf(thread).sums;
  const bytes = <usize>blockBytes(codesAt(codes, 0).k);
  const from = frames + <usize>(part * pass.partBlocks * planes) * bytes;
  const scratch = sums + <usize>(blocks * planes * tokens * BLOCK_ROWS * 4);
  if (tokens == 1) gemv(sums, from, codesAt(codes, 0), blocks * planes);
  else gemm(sums, from, codes, tokens, blocks * planes, scratch);
  return sums;
}

/** Values of block i of a part for token t, i32 [8]: its sums scaled, plus bias and addend (0: none). */
function valuesOf(
  sums: usize,
  tokens: i32,
  planes: i32,
  i: i32,
  t: i32,
  factor: f64,
  bias: usize,
  addend: usize,
  thread: i32,
): usize {
  const scratch = scratchOf(thread);
  const out = scratch.powers + POWER_BYTES;
  const at = sums + <usize>(i * planes * tokens + t) * VALUE_BYTES;
  const low: usize = planes == 1 ? 0 : at + <usize>tokens * VALUE_BYTES;
  scaleRows(out, at, low, scratch.powers, factor, bias, addend);
  return out;
}

/** Residual → codes, and RMSNorm's factor for the rows of the matrix that follows. */
function quantizeResidual(t: i32): void {
  const token = tokenAt(t);
  const codes = codesAt(pass.modelCodes, t);
  quantize(token.residual, codes);
  norm(codes.sum + (config.residualEpsilon >> (2 * codes.exponent)), config.rootModel, config.rootModelShift, factor);
  token.factor =
    <f64>factor.m * power(productShift(config.activationBits) + guardBits(config.activationBits) - factor.s);
}

/** acc → int16 z, x | B | C and dt of each token's SSMU. */
function inProj(part: i32, thread: i32): void {
  const l = layerAt(pass.layer);
  const tokens = pass.tokens;
  const blocks = blocksOf(part, inProjRows());
  const sums = multiply(l.inFrames, l.inPlanes, pass.modelCodes, tokens, part, blocks, thread);
  const powers = scratchOf(thread).powers;
  for (let i = 0; i < blocks; i++) {
    const block = part * pass.partBlocks + i;
    const row = <usize>(block * BLOCK_ROWS);
    const target = targetOf(block);
    const unit = power(l.fraction(target.segment));
    const bias = l.inBias ? l.inBias + (row << 2) : 0;
    rowPowers(l.inRowExponents + row, powers);
    for (let t = 0; t < tokens; t++) {
      const values = valuesOf(sums, tokens, l.inPlanes, i, t, tokenAt(t).factor * unit, bias, 0, thread);
      const out = segmentOf(ssmuOf(t), target.segment) + ((<usize>target.at) << 1);
      const narrow = i16x8.narrow_i32x4_s(v128.load(values), v128.load(values, 16));
      if (target.rows == BLOCK_ROWS) {
        v128.store(out, narrow);
      } else {
        v128.store(values, narrow);
        memory.copy(out, values, target.rows << 1);
      }
    }
  }
}

function segmentOf(b: SsmuBuffers, segment: i32): usize {
  if (segment == Z) return b.z;
  return segment == DT ? b.dt : b.conv;
}

/** One head of all tokens: its state stays in the cache. */
function heads(head: i32, thread: i32): void {
  const l = layerAt(pass.layer);
  const state = changetype<LayerState>(pass.state);
  const scratch = changetype<SsmuScratch>(scratchOf(thread).ssmu);
  for (let t = 0; t < pass.tokens; t++) {
    scanHead(ssmuOf(t), l, state, pass.first + t, head, scratch);
    gateHead(ssmuOf(t), l, head, scratch);
  }
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

/** residual += out_proj. */
function outProj(part: i32, thread: i32): void {
  const l = layerAt(pass.layer);
  const tokens = pass.tokens;
  const blocks = blocksOf(part, outProjRows());
  const sums = multiply(l.outFrames, l.outPlanes, pass.innerCodes, tokens, part, blocks, thread);
  const powers = scratchOf(thread).powers;
  const limit = i32x4.splat(RESIDUAL_LIMIT);
  for (let i = 0; i < blocks; i++) {
    const row = <usize>((part * pass.partBlocks + i) * BLOCK_ROWS);
    const rows = min(config.dModel - <i32>row, BLOCK_ROWS);
    const bias = l.outBias ? l.outBias + (row << 2) : 0;
    rowPowers(l.outRowExponents + row, powers);
    for (let t = 0; t < tokens; t++) {
      const residual = tokenAt(t).residual + (row << 2);
      const values = valuesOf(sums, tokens, l.outPlanes, i, t, tokenAt(t).factor, bias, residual, thread);
      const to = rows == BLOCK_ROWS ? residual : values;
      v128.store(to, i32x4.max_s(i32x4.min_s(v128.load(values), limit), i32x4.neg(limit)));
      v128.store(to, i32x4.max_s(i32x4.min_s(v128.load(values, 16), limit), i32x4.neg(limit)), 16);
      if (rows < BLOCK_ROWS) memory.copy(residual, values, rows << 2);
    }
  }
}

/** Logits of the last token. */
function lmHead(part: i32, thread: i32): void {
  const planes = weights.headPlanes;
  const token = tokenAt(pass.tokens - 1);
  const blocks = blocksOf(part, headRows());
  const codes = changetype<usize>(codesAt(pass.modelCodes, pass.tokens - 1));
  const sums = multiply(weights.headFrames, planes, codes, 1, part, blocks, thread);
  const powers = scratchOf(thread).powers;
  const factor = token.factor * power(LOGIT_FRACTION);
  for (let i = 0; i < blocks; i++) {
    const row = <usize>((part * pass.partBlocks + i) * BLOCK_ROWS);
    rowPowers(weights.headRowExponents + row, powers);
    const values = valuesOf(sums, 1, planes, i, 0, factor, 0, 0, thread);
    const out = pass.logits + (row << 2);
    v128.store(out, v128.load(values));
    v128.store(out, v128.load(values, 16), 16);
  }
}

export function residualAt(): usize {
  return tokenAt(0).residual;
}

export function logitsAt(): usize {
  return pass.logits;
}
