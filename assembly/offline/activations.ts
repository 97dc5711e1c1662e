/** SiLU(x) = x · sigmoid(x). exp overflows to Infinity for very negative x, and x / Infinity is the right limit. */
export function silu(x: f32): f32 {
  return x / (<f32>1.0 + NativeMathf.exp(-x));
}

/** log(1 + exp(x)); above 20 FP32 cannot tell it from x. */
export function softplus(x: f32): f32 {
  return x > 20.0 ? x : NativeMathf.log1p(NativeMathf.exp(x));
}
