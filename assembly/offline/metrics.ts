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

/**
 * KL(softmax(reference) ‖ softmax(x)), in nats.
 *
 * @param x [n], and its logSumExp
 * @param reference [n], and its logSumExp
 */
export function divergence(x: usize, xNorm: f64, reference: usize, referenceNorm: f64, n: i32): f64 {
  let sum: f64 = 0;
  for (let i: usize = 0; i < (<usize>n) << 2; i += 4) {
    const expected = <f64>load<f32>(reference + i) - referenceNorm;
    const found = <f64>load<f32>(x + i) - xNorm;
    sum += NativeMath.exp(expected) * (expected - found);
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
