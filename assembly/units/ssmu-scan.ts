// SSMU, int8 state: channels of a head, eight groups of 16 values at a time (docs/numerics.md section 3.3); ssmu-groups.ts has the steps.
import { stateGroups } from "../config";
import { STATE_EXPONENT_MIN, STATE_GROUP } from "../contract";
import { CODE_DITHER, ditherOffset, SHIFT_ROWS } from "./dither";
import { CHANNEL_BYTES, HeadStep, Scan, SHIFTED } from "./ssmu-groups";

/** Groups and values of a block: what B and C are padded to. */
const BLOCK_GROUPS: i32 = 8;
export const BLOCK_VALUES: i32 = BLOCK_GROUPS * STATE_GROUP;
/** Channels whose steps are interleaved: one alone would wait for its own results at each of them. */
export const SCAN_CHANNELS: i32 = 8;

/** The same eight groups of some channels: where their codes and exponents are, and how far from a channel to the next. */
@unmanaged
class Block {
  codes: usize; //     i8 [128]
  codesStep: usize;
  exponents: usize; // i8 [8]
  exponentsStep: usize;
  n: i32; //           of the first value
}

/** A block of which the state has fewer than eight groups is worked on in a copy: codes i8 [128], exponents i8 [8]. */
const COPY_EXPONENTS: usize = BLOCK_VALUES;
const COPY_BYTES: usize = COPY_EXPONENTS + BLOCK_GROUPS;
const COPIES: usize = <usize>SCAN_CHANNELS * CHANNEL_BYTES;
const BLOCK: usize = COPIES + <usize>SCAN_CHANNELS * COPY_BYTES;
/** What a thread needs: each channel's steps, copies, a Block. */
export const SCAN_SCRATCH: usize = BLOCK + offsetof<Block>();

/**
 * Up to SCAN_CHANNELS channels from `channel` on: codes i8 [channels][Np] and exponents i8 [channels][Np/16] in place; q i32 [channels], their dt·x.
 * y i32 [channels]: Σ h·C in Q12, before 2^-F.
 */
export function scanChannels(
  step: HeadStep,
  codes: usize,
  exponents: usize,
  q: usize,
  channel: i32,
  channels: i32,
  y: usize,
  scratch: usize,
): void {
  const groups = stateGroups();
  const block = changetype<Block>(scratch + BLOCK);
  for (let g = 0; g < groups; g += BLOCK_GROUPS) {
    block.n = g * STATE_GROUP;
    block.codes = codes + block.n;
    block.codesStep = groups * STATE_GROUP;
    block.exponents = exponents + g;
    block.exponentsStep = groups;
    const count = min(groups - g, BLOCK_GROUPS);
    if (count < BLOCK_GROUPS) copyBlock(block, count, channels, scratch + COPIES);
    scanBlock(step, block, q, channel, channels, y, scratch);
    if (count < BLOCK_GROUPS) restoreBlock(block, codes + block.n, exponents + g, count, channels);
  }
}

/** What is missing is an empty state. */
function copyBlock(block: Block, count: i32, channels: i32, copies: usize): void {
  const sizeBytes = <usize>(count * STATE_GROUP);
  for (let i = 0; i < channels; i++) {
    const copy = copies + <usize>i * COPY_BYTES;
    memory.fill(copy, 0, COPY_EXPONENTS);
    memory.fill(copy + COPY_EXPONENTS, <u8>STATE_EXPONENT_MIN, BLOCK_GROUPS);
    memory.copy(copy, block.codes + <usize>i * block.codesStep, sizeBytes);
    memory.copy(copy + COPY_EXPONENTS, block.exponents + <usize>i * block.exponentsStep, count);
  }
  block.codes = copies;
  block.codesStep = COPY_BYTES;
  block.exponents = copies + COPY_EXPONENTS;
  block.exponentsStep = COPY_BYTES;
}

function restoreBlock(block: Block, codes: usize, exponents: usize, count: i32, channels: i32): void {
  const groups = stateGroups();
  const sizeBytes = <usize>(count * STATE_GROUP);
  for (let i = 0; i < channels; i++) {
    const copy = <usize>i * COPY_BYTES;
    memory.copy(codes + <usize>(i * groups * STATE_GROUP), block.codes + copy, sizeBytes);
    memory.copy(exponents + <usize>(i * groups), block.exponents + copy, count);
  }
}

/** Step by step, each of them for all channels. */
function scanBlock(
  step: HeadStep,
  block: Block,
  q: usize,
  channel: i32,
  channels: i32,
  y: usize,
  scratch: usize,
): void {
  const codesStep = block.codesStep;
  const exponentsStep = block.exponentsStep;
  const n = block.n;
  const end = scratch + <usize>channels * CHANNEL_BYTES;
  let e = block.exponents;
  for (let s = scratch; s < end; s += CHANNEL_BYTES, e += exponentsStep) Scan.align(step, e, s);
  let h = block.codes;
  let c = channel;
  const b = step.bCodes + 2 * n;
  for (let s = scratch; s < end; s += CHANNEL_BYTES, h += codesStep, q += 4, c++) {
    const x = load<i32>(q);
    const shifted = load<i32>(s, SHIFTED);
    const dither = SHIFT_ROWS + ditherOffset(step.t, c, n);
    if (shifted == 0) Scan.sums(h, i16x8.splat(<i16>x), b, 0, s, false, false);
    else if (shifted < 256) Scan.sums(h, i16x8.splat(<i16>-x), b, dither, s, true, false);
    else Scan.sumsCoarse(h, i16x8.splat(<i16>-x), b, dither, s);
  }
  e = block.exponents;
  for (let s = scratch; s < end; s += CHANNEL_BYTES, e += exponentsStep) Scan.scale(e, s);
  h = block.codes;
  c = channel;
  for (let s = scratch; s < end; s += CHANNEL_BYTES, h += codesStep, c++) {
    Scan.store(h, step.cCodes + 2 * n, CODE_DITHER + ditherOffset(step.t, c, n), s);
  }
  for (let s = scratch; s < end; s += CHANNEL_BYTES, y += 4) {
    const sum = Scan.read(step, s);
    store<i32>(y, n == 0 ? sum : load<i32>(y) + sum);
  }
}
