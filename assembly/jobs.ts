// The work of a layer that threads share: parts of a matrix, and heads.
import { config, headRows, inProjRows, outProjRows } from "./config";
import { BLOCK_ROWS, LOGIT_FRACTION } from "./contract";
import { codesAt, DT, partBlocks, partsOf, pass, scratchOf, ssmuOf, targetOf, tokenAt, Z } from "./pass";
import { LayerState } from "./state";
import { Job, parallel } from "./threads";
import { RESIDUAL_LIMIT } from "./units/embed";
import { power } from "./units/exact";
import { blockBytes, gemm, gemv } from "./units/mmu";
import { POWER_BYTES, rowPowers, scaleRows, VALUE_BYTES } from "./units/rows";
import { gateHead, SsmuBuffers, SsmuScratch, scanHead } from "./units/ssmu";
import { layerAt, weights } from "./weights";

/** Runs a job over the blocks of a matrix. */
export function run(inputs: i32, planes: i32, rows: i32, job: Job): void {
  pass.partBlocks = partBlocks(inputs, planes);
  parallel(partsOf(rows, pass.partBlocks), job);
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

/** acc → int16 z, x | B | C and dt of each token's SSMU. */
export function inProj(part: i32, thread: i32): void {
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
export function heads(head: i32, thread: i32): void {
  const l = layerAt(pass.layer);
  const state = changetype<LayerState>(pass.state);
  const scratch = changetype<SsmuScratch>(scratchOf(thread).ssmu);
  for (let t = 0; t < pass.tokens; t++) {
    scanHead(ssmuOf(t), l, state, pass.first + t, head, scratch);
    gateHead(ssmuOf(t), l, head, scratch);
  }
}

/** residual += out_proj. */
export function outProj(part: i32, thread: i32): void {
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
export function lmHead(part: i32, thread: i32): void {
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
