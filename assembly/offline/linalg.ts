// Dense linear algebra of the quantizer; the factorization is in factor.ts.

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
