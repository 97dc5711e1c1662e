import { Lanes } from "./lanes";

/** Rows of W that stay in the L2 cache while every token passes over them. */
const BLOCK_BYTES: usize = 256 << 10;

/**
 * Y = X · W^T + bias.
 *
 * Every output is summed in one order, whatever tile it falls in, so a token's result does not depend on how many
 * tokens share the call.
 *
 * @param y [T, R]
 * @param x [T, K]
 * @param w [R, K]
 * @param bias [R], or 0 for none
 */
export function matmul(y: usize, x: usize, w: usize, bias: usize, tokens: i32, rows: i32, inner: i32): void {
  const wStride = (<usize>inner) << 2;
  const block = max<i32>(4, <i32>(BLOCK_BYTES / max<usize>(wStride, 1)) & ~3);
  for (let start = 0; start < rows; start += block) {
    const end = min(start + block, rows);
    let t = 0;
    for (; t + 2 <= tokens; t += 2) rowsForTwo(y, x, w, bias, t, start, end, rows, wStride);
    if (t < tokens) rowsForOne(y, x, w, bias, t, start, end, rows, wStride);
  }
}

function rowsForTwo(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  t: i32,
  start: i32,
  end: i32,
  rows: i32,
  kBytes: usize,
): void {
  const xt = x + <usize>t * kBytes;
  const yBytes = (<usize>rows) << 2;
  const yt = y + <usize>t * yBytes;
  let r = start;
  for (; r + 4 <= end; r += 4) {
    const at = (<usize>r) << 2;
    tile4x2(yt + at, yBytes, xt, w + <usize>r * kBytes, bias ? bias + at : 0, kBytes);
  }
  for (; r < end; r++) {
    const at = (<usize>r) << 2;
    const wr = w + <usize>r * kBytes;
    tile1x1(yt + at, xt, wr, bias ? bias + at : 0, kBytes);
    tile1x1(yt + at + yBytes, xt + kBytes, wr, bias ? bias + at : 0, kBytes);
  }
}

function rowsForOne(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  t: i32,
  start: i32,
  end: i32,
  rows: i32,
  kBytes: usize,
): void {
  const xt = x + <usize>t * kBytes;
  const yt = y + ((<usize>t * <usize>rows) << 2);
  let r = start;
  for (; r + 4 <= end; r += 4) {
    const at = (<usize>r) << 2;
    tile4x1(yt + at, xt, w + <usize>r * kBytes, bias ? bias + at : 0, kBytes);
  }
  for (; r < end; r++) {
    const at = (<usize>r) << 2;
    tile1x1(yt + at, xt, w + <usize>r * kBytes, bias ? bias + at : 0, kBytes);
  }
}

/** Four rows of W, two tokens: eight accumulators, which is what 16 vector registers hold with their operands. */
function tile4x2(y: usize, yBytes: usize, x0: usize, w0: usize, bias: usize, kBytes: usize): void {
  const end = kBytes & ~15;
  const x1 = x0 + kBytes;
  const w1 = w0 + kBytes;
  const w2 = w1 + kBytes;
  const w3 = w2 + kBytes;
  let a00 = f32x4.splat(0);
  let a10 = a00;
  let a20 = a00;
  let a30 = a00;
  let a01 = a00;
  let a11 = a00;
  let a21 = a00;
  let a31 = a00;
  for (let k: usize = 0; k < end; k += 16) {
    const p = v128.load(x0 + k);
    const q = v128.load(x1 + k);
    let v = v128.load(w0 + k);
    a00 = f32x4.add(a00, f32x4.mul(v, p));
    a01 = f32x4.add(a01, f32x4.mul(v, q));
    v = v128.load(w1 + k);
    a10 = f32x4.add(a10, f32x4.mul(v, p));
    a11 = f32x4.add(a11, f32x4.mul(v, q));
    v = v128.load(w2 + k);
    a20 = f32x4.add(a20, f32x4.mul(v, p));
    a21 = f32x4.add(a21, f32x4.mul(v, q));
    v = v128.load(w3 + k);
    a30 = f32x4.add(a30, f32x4.mul(v, p));
    a31 = f32x4.add(a31, f32x4.mul(v, q));
  }
  finish4(y, a00, a10, a20, a30, x0, w0, bias, end, kBytes);
  finish4(y + yBytes, a01, a11, a21, a31, x1, w0, bias, end, kBytes);
}

function tile4x1(y: usize, x: usize, w0: usize, bias: usize, kBytes: usize): void {
  const end = kBytes & ~15;
  const w1 = w0 + kBytes;
  const w2 = w1 + kBytes;
  const w3 = w2 + kBytes;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (let k: usize = 0; k < end; k += 16) {
    const p = v128.load(x + k);
    a0 = f32x4.add(a0, f32x4.mul(v128.load(w0 + k), p));
    a1 = f32x4.add(a1, f32x4.mul(v128.load(w1 + k), p));
    a2 = f32x4.add(a2, f32x4.mul(v128.load(w2 + k), p));
    a3 = f32x4.add(a3, f32x4.mul(v128.load(w3 + k), p));
  }
  finish4(y, a0, a1, a2, a3, x, w0, bias, end, kBytes);
}

function tile1x1(y: usize, x: usize, w: usize, bias: usize, kBytes: usize): void {
  const end = kBytes & ~15;
  let a = f32x4.splat(0);
  for (let k: usize = 0; k < end; k += 16) a = f32x4.add(a, f32x4.mul(v128.load(w + k), v128.load(x + k)));
  finish(y, a, x, w, bias, end, kBytes);
}

function finish4(
  y: usize,
  a0: v128,
  a1: v128,
  a2: v128,
  a3: v128,
  x: usize,
  w: usize,
  bias: usize,
  end: usize,
  kBytes: usize,
): void {
  finish(y, a0, x, w, bias, end, kBytes);
  finish(y + 4, a1, x, w + kBytes, bias ? bias + 4 : 0, end, kBytes);
  finish(y + 8, a2, x, w + 2 * kBytes, bias ? bias + 8 : 0, end, kBytes);
  finish(y + 12, a3, x, w + 3 * kBytes, bias ? bias + 12 : 0, end, kBytes);
}

/** Lanes, then the last K mod 4 products, then the bias. */
function finish(y: usize, lanes: v128, x: usize, w: usize, bias: usize, end: usize, kBytes: usize): void {
  let sum = Lanes.sum(lanes);
  for (let k = end; k < kBytes; k += 4) sum += load<f32>(x + k) * load<f32>(w + k);
  if (bias) sum += load<f32>(bias);
  store<f32>(y, sum);
}
