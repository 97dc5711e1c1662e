import { silu, softplus } from "./activations";
import { Lanes } from "./lanes";

/** x += y. @param x [n] @param y [n] */
export function add(x: usize, y: usize, n: usize): void {
  const bytes = n << 2;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(y + i)));
  for (; i < bytes; i += 4) store<f32>(x + i, load<f32>(x + i) + load<f32>(y + i));
}

/**
 * dt = clamp(softplus(raw + bias), low, high).
 *
 * @param dt [T, H]
 * @param raw [T, H], rows `stride` floats apart
 * @param bias [H]
 */
export function timeStep(
  dt: usize,
  raw: usize,
  stride: i32,
  bias: usize,
  tokens: i32,
  heads: i32,
  low: f32,
  high: f32,
): void {
  for (let t = 0; t < tokens; t++) {
    const from = raw + ((<usize>t * <usize>stride) << 2);
    const to = dt + ((<usize>t * <usize>heads) << 2);
    for (let h: usize = 0; h < (<usize>heads) << 2; h += 4) {
      store<f32>(to + h, min(max(softplus(load<f32>(from + h) + load<f32>(bias + h)), low), high));
    }
  }
}

/**
 * g = y · SiLU(z). Leaves g in y and SiLU(z) in z.
 *
 * @param y [T, E]
 * @param z [T, E], rows `stride` floats apart
 */
export function gate(y: usize, z: usize, stride: i32, tokens: i32, n: i32): void {
  for (let t = 0; t < tokens; t++) {
    const yt = y + ((<usize>t * <usize>n) << 2);
    const zt = z + ((<usize>t * <usize>stride) << 2);
    for (let i: usize = 0; i < (<usize>n) << 2; i += 4) {
      const opened = silu(load<f32>(zt + i));
      store<f32>(zt + i, opened);
      store<f32>(yt + i, load<f32>(yt + i) * opened);
    }
  }
}

/** y = x · γ, column by column. @param y [T, n] @param x [T, n] @param gamma [n] */
export function scaleColumns(y: usize, x: usize, gamma: usize, tokens: i32, n: i32): void {
  const bytes = (<usize>n) << 2;
  for (let t = 0; t < tokens; t++, x += bytes, y += bytes) {
    for (let i: usize = 0; i < bytes; i += 4) store<f32>(y + i, load<f32>(x + i) * load<f32>(gamma + i));
  }
}

/** Largest magnitude. @param x [T, n], rows `stride` floats apart */
export function maxAbs(x: usize, stride: i32, tokens: i32, n: i32): f32 {
  let lanes = f32x4.splat(0);
  let top: f32 = 0;
  for (let t = 0; t < tokens; t++, x += (<usize>stride) << 2) {
    const bytes = (<usize>n) << 2;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) lanes = f32x4.max(lanes, f32x4.abs(v128.load(x + i)));
    for (; i < bytes; i += 4) top = max(top, abs(load<f32>(x + i)));
  }
  return max(top, Lanes.max(lanes));
}
