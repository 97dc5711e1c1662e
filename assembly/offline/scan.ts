import { Lanes } from "./lanes";

/**
 * The state space recurrence, per head: h = exp(dt·A)·h + (dt·x) ⊗ B, y = C·h + D·x.
 * Head by head over all tokens of a sequence, so that one head's state stays in the L1 cache.
 *
 * @param y [S, T, H·P]
 * @param xbc [S, T, H·P + 2·G·N]: x, B, C after the convolution
 * @param dt [S, T, H] after softplus and clamp
 * @param a [H], negative
 * @param d [H]
 * @param state [S, H, P, N]
 * @param peak [H]: the largest |h| any step of this call reached, which sizes a fixed-point state
 */
export function scan(
  y: usize,
  xbc: usize,
  dt: usize,
  a: usize,
  d: usize,
  state: usize,
  peak: usize,
  sequences: i32,
  tokens: i32,
  heads: i32,
  headDim: i32,
  dState: i32,
  groups: i32,
): void {
  const headBytes = (<usize>(headDim * dState)) << 2;
  const inner = heads * headDim;
  const width = inner + 2 * groups * dState;
  memory.fill(peak, 0, (<usize>heads) << 2);
  for (let s = 0; s < sequences; s++) {
    for (let h = 0; h < heads; h++) {
      const group = h / (heads / groups);
      const hs = state + <usize>(s * heads + h) * headBytes;
      const ah = load<f32>(a + ((<usize>h) << 2));
      const dh = load<f32>(d + ((<usize>h) << 2));
      let top = load<f32>(peak + ((<usize>h) << 2));
      for (let t = 0; t < tokens; t++) {
        const row = <usize>(s * tokens + t);
        const step = load<f32>(dt + ((row * heads + h) << 2));
        const xt = xbc + ((row * width) << 2);
        const b = xt + ((<usize>(inner + group * dState)) << 2);
        const x = xt + ((<usize>(h * headDim)) << 2);
        const yt = y + ((row * inner + h * headDim) << 2);
        const c = b + ((<usize>(groups * dState)) << 2);
        top = max(top, stepHead(yt, x, b, c, hs, step, ah, dh, headDim, dState));
      }
      store<f32>(peak + ((<usize>h) << 2), top);
    }
  }
}

/**
 * One token of one head; returns the largest |h|.
 *
 * @param y [P]
 * @param x [P]
 * @param b [N]
 * @param c [N]
 * @param state [P, N]
 */
function stepHead(
  y: usize,
  x: usize,
  b: usize,
  c: usize,
  state: usize,
  dt: f32,
  a: f32,
  d: f32,
  headDim: i32,
  dState: i32,
): f32 {
  const bytes = (<usize>dState) << 2;
  const end = bytes & ~15;
  const decay = NativeMathf.exp(dt * a);
  const decays = f32x4.splat(decay);
  let tops = f32x4.splat(0);
  let top: f32 = 0;
  for (let p = 0; p < headDim; p++, state += bytes) {
    const xp = load<f32>(x + ((<usize>p) << 2));
    const gain = dt * xp;
    const gains = f32x4.splat(gain);
    let lanes = f32x4.splat(0);
    for (let n: usize = 0; n < end; n += 16) {
      const h = f32x4.add(f32x4.mul(v128.load(state + n), decays), f32x4.mul(gains, v128.load(b + n)));
      v128.store(state + n, h);
      tops = f32x4.pmax(tops, f32x4.abs(h));
      lanes = f32x4.add(lanes, f32x4.mul(h, v128.load(c + n)));
    }
    let sum = Lanes.sum(lanes);
    for (let n = end; n < bytes; n += 4) {
      const h = load<f32>(state + n) * decay + gain * load<f32>(b + n);
      store<f32>(state + n, h);
      top = max(top, abs(h));
      sum += h * load<f32>(c + n);
    }
    store<f32>(y + ((<usize>p) << 2), sum + d * xp);
  }
  return max(top, Lanes.max(tops));
}
