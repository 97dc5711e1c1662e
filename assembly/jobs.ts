// The work of a layer that threads share: parts of a matrix, and heads.
import { config, headRows, inProjRows, outProjRows } from "./config";
import { BLOCK_ROWS, LOGIT_FRACTION } from "./contract";
import { project as native } from "./native";
import { codesAt, DT, partBlocks, partsOf, pass, scratchOf, ssmuOf, targetOf, tokenAt, Z } from "./pass";
import { LayerState } from "./state";
import { Job, parallel } from "./threads";
import { RESIDUAL_LIMIT } from "./units/embed";
import { power } from "./units/exact";
import { blockBytes, gemm, gemv } from "./units/mmu";
import { rowPowers, scaleRows, VALUE_BYTES } from "./units/rows";
import { finishHead, SsmuBuffers, SsmuScratch, startHead, stepAt } from "./units/ssmu";
import { headsNatively } from "./units/ssmu-native";
import { layerAt, weights } from "./weights";

/** Runs a job over the blocks of a matrix. */
export function run(inputs: i32, planes: i32, rows: i32, job: Job): void {
  pass.partBlocks = partBlocks(inputs, planes);
  parallel(partsOf(rows, pass.partBlocks), job);
}

function blocksOf(part: i32, rows: i32): i32 {
  return min(rows / BLOCK_ROWS - part * pass.partBlocks, pass.partBlocks);
}

/** Of the row scale of block i of a part, for token t. */
function factorAt(thread: i32, tokens: i32, i: i32, t: i32): usize {
  return scratchOf(thread).factors + ((<usize>(i * tokens + t)) << 3);
}

/**
 * Values of a part's blocks, i32 [blocks][planes][tokens][8] in the place of the first plane's sums: those of codes [tokens], scaled by the factors of
 * the thread, plus bias (0: none), plus the tokens' residuals.
 */
function project(
  part: i32,
  thread: i32,
  blocks: i32,
  frames: usize,
  planes: i32,
  rowExponents: usize,
  codes: usize,
  tokens: i32,
  bias: usize,
  residuals: bool,
): usize {
  const scratch = scratchOf(thread);
  const sums = scratch.sums;
  const first = <usize>(part * pass.partBlocks);
  const from = frames + first * planes * blockBytes(codesAt(codes, 0).k);
  const exponents = rowExponents + first * BLOCK_ROWS;
  const toValues = first * VALUE_BYTES;
  const biasAt = bias ? bias + toValues : 0;
  if (isDefined(NATIVE)) {
    const addends = scratch.factors + <usize>(blocks * tokens * 8);
    for (let t = 0; residuals && t < tokens; t++)
      store<u32>(addends + ((<usize>t) << 2), tokenAt(t).residual + toValues);
    const addendsAt = residuals ? addends : 0;
    const group = config.weightGroup;
    const pages = memory.size();
    native(sums, from, codes, tokens, blocks, planes, group, exponents, scratch.factors, biasAt, addendsAt, pages);
    return sums;
  }
  if (tokens == 1) gemv(sums, from, codesAt(codes, 0), blocks * planes);
  else gemm(sums, from, codes, tokens, blocks * planes, sums + <usize>(blocks * planes * tokens) * VALUE_BYTES);
  for (let i = 0; i < blocks; i++) {
    const block = <usize>i * VALUE_BYTES;
    rowPowers(exponents + <usize>i * BLOCK_ROWS, scratch.powers);
    for (let t = 0; t < tokens; t++) {
      const at = valuesAt(sums, planes, tokens, i, t);
      const low: usize = planes == 1 ? 0 : at + <usize>tokens * VALUE_BYTES;
      const addend = residuals ? tokenAt(t).residual + toValues + block : 0;
      scaleRows(
        at,
        low,
        scratch.powers,
        load<f64>(factorAt(thread, tokens, i, t)),
        biasAt ? biasAt + block : 0,
        addend,
      );
    }
  }
  return sums;
}

/** Of block i of a part, for token t: i32 [8]. */
function valuesAt(values: usize, planes: i32, tokens: i32, i: i32, t: i32): usize {
  return values + <usize>(i * planes * tokens + t) * VALUE_BYTES;
}

/** acc → int16 z, x | B | C and dt of each token's SSMU. */
export function inProj(part: i32, thread: i32): void {
  const l = layerAt(pass.layer);
  const tokens = pass.tokens;
  const planes = l.inPlanes;
  const blocks = blocksOf(part, inProjRows());
  const first = part * pass.partBlocks;
  for (let i = 0; i < blocks; i++) {
    const unit = power(l.fraction(targetOf(first + i).segment));
    for (let t = 0; t < tokens; t++) store<f64>(factorAt(thread, tokens, i, t), tokenAt(t).factor * unit);
  }
  const codes = pass.modelCodes;
  const from = project(part, thread, blocks, l.inFrames, planes, l.inRowExponents, codes, tokens, l.inBias, false);
  for (let i = 0; i < blocks; i++) {
    const target = targetOf(first + i);
    for (let t = 0; t < tokens; t++) {
      const values = valuesAt(from, planes, tokens, i, t);
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

/** Up to STEP_HEADS heads of all tokens, one after the other: a head's state stays in the cache. */
export function heads(first: i32, count: i32, thread: i32): void {
  const l = layerAt(pass.layer);
  const state = changetype<LayerState>(pass.state);
  const scratch = changetype<SsmuScratch>(scratchOf(thread).ssmu);
  const tokens = pass.tokens;
  const steps = count * tokens;
  for (let i = 0; i < steps; i++) {
    const t = i % tokens;
    startHead(stepAt(scratch, i), ssmuOf(t), l, state, pass.first + t, first + i / tokens, scratch);
  }
  if (isDefined(NATIVE)) if (headsNatively(scratch.steps, steps)) return;
  for (let i = 0; i < steps; i++) finishHead(stepAt(scratch, i), ssmuOf(i % tokens), l, state, scratch);
}

/** residual += out_proj. */
export function outProj(part: i32, thread: i32): void {
  const l = layerAt(pass.layer);
  const tokens = pass.tokens;
  const planes = l.outPlanes;
  const blocks = blocksOf(part, outProjRows());
  for (let i = 0; i < blocks; i++) {
    for (let t = 0; t < tokens; t++) store<f64>(factorAt(thread, tokens, i, t), tokenAt(t).factor);
  }
  const codes = pass.innerCodes;
  const from = project(part, thread, blocks, l.outFrames, planes, l.outRowExponents, codes, tokens, l.outBias, true);
  const limit = i32x4.splat(RESIDUAL_LIMIT);
  for (let i = 0; i < blocks; i++) {
    const row = <usize>((part * pass.partBlocks + i) * BLOCK_ROWS);
    const rows = min(config.dModel - <i32>row, BLOCK_ROWS);
    for (let t = 0; t < tokens; t++) {
      const residual = tokenAt(t).residual + (row << 2);
      const values = valuesAt(from, planes, tokens, i, t);
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
  const last = pass.tokens - 1;
  const blocks = blocksOf(part, headRows());
  const factor = tokenAt(last).factor * power(LOGIT_FRACTION);
  for (let i = 0; i < blocks; i++) store<f64>(factorAt(thread, 1, i, 0), factor);
  const codes = changetype<usize>(codesAt(pass.modelCodes, last));
  const from = project(part, thread, blocks, weights.headFrames, planes, weights.headRowExponents, codes, 1, 0, false);
  const to = pass.logits + <usize>(part * pass.partBlocks) * VALUE_BYTES;
  for (let i = 0; i < blocks; i++) {
    const values = valuesAt(from, planes, 1, i, 0);
    const out = to + <usize>i * VALUE_BYTES;
    v128.store(out, v128.load(values));
    v128.store(out, v128.load(values, 16), 16);
  }
}
