// Dense linear algebra of the quantizer, FP64 where it inverts.

/** y [n, m] = transpose of x [m, n], f32. */
export function transpose(y: usize, x: usize, m: i32, n: i32): void {
  const tile = 16;
  for (let i = 0; i < m; i += tile) {
    for (let j = 0; j < n; j += tile) {
      for (let r = i; r < min(i + tile, m); r++) {
        for (let c = j; c < min(j + tile, n); c++) {
          const from = x + ((<usize>r * <usize>n + <usize>c) << 2);
          store<f32>(y + ((<usize>c * <usize>m + <usize>r) << 2), load<f32>(from));
        }
      }
    }
  }
}

/** sum [count] f64 += part [count] f32. */
export function accumulate(sum: usize, part: usize, count: i32): void {
  for (let i = 0; i < count; i += 2) {
    if (i + 2 > count) {
      store<f64>(sum, load<f64>(sum) + <f64>load<f32>(part));
      return;
    }
    v128.store(sum, f64x2.add(v128.load(sum), f64x2.promote_low_f32x4(v128.load64_zero(part))));
    sum += 16;
    part += 8;
  }
}

/** y [count] f32 = x [count] f64. */
export function narrow(y: usize, x: usize, count: i32): void {
  for (let i = 0; i < count; i++) {
    store<f32>(y, <f32>load<f64>(x));
    y += 4;
    x += 8;
  }
}

/**
 * u f64 [k, k], upper, with H⁻¹ = uᵀ·u, from a symmetric positive definite h f64 [k, k], which is overwritten.
 * Returns 0 when h is not positive definite.
 */
export function inverseFactor(u: usize, h: usize, k: i32): i32 {
  if (!factorFromBelow(h, k)) return 0;
  invertUpper(u, h, k);
  return 1;
}

function element(a: usize, k: i32, i: i32, j: i32): usize {
  return a + ((<usize>i * <usize>k + <usize>j) << 3);
}

/** h = R·Rᵀ with R upper, in the upper triangle of h: Cholesky from the last row up. */
function factorFromBelow(h: usize, k: i32): bool {
  for (let i = k - 1; i >= 0; i--) {
    const row = element(h, k, i, 0);
    for (let j = k - 1; j > i; j--) {
      const at = row + ((<usize>j) << 3);
      const rest = k - 1 - j;
      const value = load<f64>(at) - dot(at + 8, element(h, k, j, j) + 8, rest);
      store<f64>(at, value / load<f64>(element(h, k, j, j)));
    }
    const at = row + ((<usize>i) << 3);
    const value = load<f64>(at) - dot(at + 8, at + 8, k - 1 - i);
    if (!(value > 0)) return false;
    store<f64>(at, Math.sqrt(value));
  }
  return true;
}

/** u = r⁻¹ for an upper r [k, k]; below the diagonal 0. */
function invertUpper(u: usize, r: usize, k: i32): void {
  memory.fill(u, 0, (<usize>k * <usize>k) << 3);
  for (let i = k - 1; i >= 0; i--) {
    const inverse = 1 / load<f64>(element(r, k, i, i));
    for (let j = i + 1; j < k; j++) {
      addScaled(element(u, k, i, j), element(u, k, j, j), -inverse * load<f64>(element(r, k, i, j)), k - j);
    }
    store<f64>(element(u, k, i, i), inverse);
  }
}

function dot(a: usize, b: usize, n: i32): f64 {
  let s0 = f64x2.splat(0);
  let s1 = f64x2.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    s0 = f64x2.add(s0, f64x2.mul(v128.load(a), v128.load(b)));
    s1 = f64x2.add(s1, f64x2.mul(v128.load(a, 16), v128.load(b, 16)));
    a += 32;
    b += 32;
  }
  s0 = f64x2.add(s0, s1);
  let sum = f64x2.extract_lane(s0, 0) + f64x2.extract_lane(s0, 1);
  for (; i < n; i++) {
    sum += load<f64>(a) * load<f64>(b);
    a += 8;
    b += 8;
  }
  return sum;
}

/** y [n] += factor · x [n]. */
function addScaled(y: usize, x: usize, factor: f64, n: i32): void {
  const f = f64x2.splat(factor);
  let i = 0;
  for (; i + 2 <= n; i += 2) {
    v128.store(y, f64x2.add(v128.load(y), f64x2.mul(v128.load(x), f)));
    y += 16;
    x += 16;
  }
  if (i < n) store<f64>(y, load<f64>(y) + factor * load<f64>(x));
}
