import { silu } from "./activations";

/**
 * SiLU(causal depthwise convolution + bias), with the last W - 1 inputs of each sequence carried between calls.
 *
 * @param y [S, T, C]
 * @param x [S, T, C], rows `xStride` floats apart
 * @param w [W, C], oldest tap first: the transpose of a checkpoint's, so that neighbouring channels are neighbours
 * @param bias [C], or 0 for none
 * @param state [S, W - 1, C], oldest input first; zero at the start of a sequence
 */
export function conv(
  y: usize,
  x: usize,
  xStride: i32,
  w: usize,
  bias: usize,
  state: usize,
  sequences: i32,
  tokens: i32,
  channels: i32,
  width: i32,
): void {
  const rowBytes = (<usize>channels) << 2;
  const xBytes = (<usize>xStride) << 2;
  const carried = width - 1;
  for (let s = 0; s < sequences; s++) {
    const past = state + <usize>(s * carried) * rowBytes;
    const xs = x + <usize>(s * tokens) * xBytes;
    const ys = y + <usize>(s * tokens) * rowBytes;
    for (let t = 0; t < tokens; t++) {
      const yt = ys + <usize>t * rowBytes;
      if (bias) memory.copy(yt, bias, rowBytes);
      else memory.fill(yt, 0, rowBytes);
      for (let j = 0; j < width; j++) {
        const from = t + j - carried;
        const row = from < 0 ? past + <usize>(from + carried) * rowBytes : xs + <usize>from * xBytes;
        tap(yt, row, w + <usize>j * rowBytes, rowBytes);
      }
      for (let i: usize = 0; i < rowBytes; i += 4) store<f32>(yt + i, silu(load<f32>(yt + i)));
    }
    carry(past, xs, xBytes, rowBytes, tokens, carried);
  }
}

/** y += x · w, channel by channel. */
function tap(y: usize, x: usize, w: usize, bytes: usize): void {
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    v128.store(y + i, f32x4.add(v128.load(y + i), f32x4.mul(v128.load(x + i), v128.load(w + i))));
  }
  for (; i < bytes; i += 4) store<f32>(y + i, load<f32>(y + i) + load<f32>(x + i) * load<f32>(w + i));
}

/** Leaves the last `carried` inputs in `past`; a call shorter than that keeps some of the old ones. */
function carry(past: usize, x: usize, xBytes: usize, rowBytes: usize, tokens: i32, carried: i32): void {
  for (let j = 0; j < carried; j++) {
    const from = tokens + j - carried;
    const row = from < 0 ? past + <usize>(from + carried) * rowBytes : x + <usize>from * xBytes;
    memory.copy(past + <usize>j * rowBytes, row, rowBytes);
  }
}
