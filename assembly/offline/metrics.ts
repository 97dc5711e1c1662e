/** exp in FP64: JavaScript's own may differ from engine to engine in the last bit. */
export function exp(x: f64): f64 {
  return NativeMath.exp(x);
}

/** log Σ exp(x), in FP64. @param x [n] */
export function logSumExp(x: usize, n: i32): f64 {
  const top = <f64>largest(x, n);
  let sum: f64 = 0;
  for (let i = 0; i < n; i++) sum += NativeMath.exp(<f64>load<f32>(x + ((<usize>i) << 2)) - top);
  return top + NativeMath.log(sum);
}

/** -log softmax(x)[target], in nats. @param x [n] */
export function crossEntropy(x: usize, n: i32, target: i32): f64 {
  return logSumExp(x, n) - <f64>load<f32>(x + ((<usize>target) << 2));
}

/** KL(softmax(reference) ‖ softmax(x)), in nats. @param x [n] @param reference [n] */
export function divergence(x: usize, reference: usize, n: i32): f64 {
  const normX = logSumExp(x, n);
  const normR = logSumExp(reference, n);
  let sum: f64 = 0;
  for (let i: usize = 0; i < (<usize>n) << 2; i += 4) {
    const logR = <f64>load<f32>(reference + i) - normR;
    const logX = <f64>load<f32>(x + i) - normX;
    sum += NativeMath.exp(logR) * (logR - logX);
  }
  return sum;
}

/** Draws an index from softmax(x): the one whose share of the unit interval holds u. @param x [n] @param u in [0, 1) */
export function sampleRow(x: usize, n: i32, u: f64): i32 {
  const norm = logSumExp(x, n);
  let rest = u;
  for (let i = 0; i < n; i++) {
    rest -= NativeMath.exp(<f64>load<f32>(x + ((<usize>i) << 2)) - norm);
    if (rest < 0) return i;
  }
  // Rounding left a sliver above the last share.
  return n - 1;
}

function largest(x: usize, n: i32): f32 {
  let top = load<f32>(x);
  for (let i = 1; i < n; i++) top = max(top, load<f32>(x + ((<usize>i) << 2)));
  return top;
}
