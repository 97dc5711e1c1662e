/**
 * RMSNorm over groups of channels: y = x / sqrt(mean(x²) + eps) · γ. The plain norm is one group of n channels.
 * In place when y is x.
 *
 * @param y [T, n]
 * @param x [T, n]
 * @param gamma [n]
 * @param size channels that share one mean; divides n
 */
export function rmsNorm(y: usize, x: usize, gamma: usize, tokens: i32, n: i32, size: i32, eps: f32): void {
  const rowBytes = (<usize>n) << 2;
  const groupBytes = (<usize>size) << 2;
  for (let t = 0; t < tokens; t++) {
    const row = <usize>t * rowBytes;
    for (let at: usize = 0; at < rowBytes; at += groupBytes) {
      normGroup(y + row + at, x + row + at, gamma + at, groupBytes, eps);
    }
  }
}

/** The sum of squares is FP64: a residual stream of thousands of channels has outliers that would swamp FP32. */
function normGroup(y: usize, x: usize, gamma: usize, bytes: usize, eps: f32): void {
  let sum: f64 = 0;
  for (let i: usize = 0; i < bytes; i += 4) {
    const v = <f64>load<f32>(x + i);
    sum += v * v;
  }
  const factor = <f32>(1.0 / sqrt<f64>(sum / <f64>(bytes >> 2) + <f64>eps));
  for (let i: usize = 0; i < bytes; i += 4) {
    store<f32>(y + i, load<f32>(x + i) * factor * load<f32>(gamma + i));
  }
}
