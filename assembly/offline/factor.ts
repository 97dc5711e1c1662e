// Cholesky factor of an inverse, in FP64. Every element is summed in one order, whatever panel it falls in.

/** Dot products of four rows. */
const sums: usize = memory.data(4 * 8, 16);

/** Rows that the factorization takes through a column together, so that the column's row is read once for all. */
const PANEL_ROWS: i32 = 16;
/** Columns that are inverted together: what eight registers hold, in a panel that fits the L2 cache. */
const PANEL_COLUMNS: i32 = 16;

/**
 * u f64 [k, k], upper, with H⁻¹ = uᵀ·u, from a symmetric positive definite h f64 [k, k], which is overwritten.
 * Returns 0 when h is not positive definite.
 *
 * @param panel f64 [k, 16], for intermediate results
 */
export function inverseFactor(u: usize, h: usize, panel: usize, k: i32): i32 {
  if (!factorFromBelow(h, k)) return 0;
  memory.fill(u, 0, (<usize>k * <usize>k) << 3);
  for (let start = 0; start < k; start += PANEL_COLUMNS) invertColumns(u, h, panel, start, k);
  return 1;
}

function element(a: usize, k: i32, i: i32, j: i32): usize {
  return a + ((<usize>i * <usize>k + <usize>j) << 3);
}

/** h = R·Rᵀ with R upper, in the upper triangle of h: Cholesky from the last rows up. */
function factorFromBelow(h: usize, k: i32): bool {
  for (let end = k; end > 0; end -= PANEL_ROWS) {
    const start = max(0, end - PANEL_ROWS);
    for (let j = k - 1; j >= end; j--) factorColumn(h, k, j, start, end);
    for (let j = end - 1; j >= start; j--) {
      const at = element(h, k, j, j);
      const value = load<f64>(at) - dot(at + 8, at + 8, k - 1 - j);
      if (!(value > 0)) return false;
      store<f64>(at, Math.sqrt(value));
      factorColumn(h, k, j, start, j);
    }
  }
  return true;
}

/** Column j of rows [start, end), all above row j. */
function factorColumn(h: usize, k: i32, j: i32, start: i32, end: i32): void {
  const diagonal = element(h, k, j, j);
  const stride = (<usize>k) << 3;
  const rest = k - 1 - j;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    const at = element(h, k, i, j);
    dotFour(sums, diagonal + 8, at + 8, stride, rest);
    for (let r: usize = 0; r < 4; r++) finishElement(at + r * stride, load<f64>(sums + (r << 3)), diagonal);
  }
  for (; i < end; i++) {
    const at = element(h, k, i, j);
    finishElement(at, dot(at + 8, diagonal + 8, rest), diagonal);
  }
}

function finishElement(at: usize, sum: f64, diagonal: usize): void {
  store<f64>(at, (load<f64>(at) - sum) / load<f64>(diagonal));
}

/** Columns [start, start + 16) of u = r⁻¹ for an upper r [k, k]: row i is -Σ r[i][j] · u[j] / r[i][i], j ascending. */
function invertColumns(u: usize, r: usize, panel: usize, start: i32, k: i32): void {
  const columns = min(PANEL_COLUMNS, k - start);
  const last = start + columns;
  const bytes = (<usize>PANEL_COLUMNS) << 3;
  memory.fill(panel, 0, <usize>last * bytes);
  for (let i = last - 1; i >= 0; i--) {
    const row = panel + <usize>i * bytes;
    const inverse = 1 / load<f64>(element(r, k, i, i));
    combineRows(row, element(r, k, i, i + 1), inverse, last - 1 - i);
    if (i >= start) store<f64>(row + ((<usize>(i - start)) << 3), inverse);
    memory.copy(element(u, k, i, start), row, (<usize>columns) << 3);
  }
}

/** y [16] = Σ -inverse · r[j] · row j of the `count` rows behind y. */
function combineRows(y: usize, r: usize, inverse: f64, count: i32): void {
  let y0 = f64x2.splat(0);
  let y1 = y0;
  let y2 = y0;
  let y3 = y0;
  let y4 = y0;
  let y5 = y0;
  let y6 = y0;
  let y7 = y0;
  let x = y;
  for (let j = 0; j < count; j++) {
    x += (<usize>PANEL_COLUMNS) << 3;
    const f = f64x2.splat(-inverse * load<f64>(r + ((<usize>j) << 3)));
    y0 = f64x2.add(y0, f64x2.mul(v128.load(x), f));
    y1 = f64x2.add(y1, f64x2.mul(v128.load(x, 16), f));
    y2 = f64x2.add(y2, f64x2.mul(v128.load(x, 32), f));
    y3 = f64x2.add(y3, f64x2.mul(v128.load(x, 48), f));
    y4 = f64x2.add(y4, f64x2.mul(v128.load(x, 64), f));
    y5 = f64x2.add(y5, f64x2.mul(v128.load(x, 80), f));
    y6 = f64x2.add(y6, f64x2.mul(v128.load(x, 96), f));
    y7 = f64x2.add(y7, f64x2.mul(v128.load(x, 112), f));
  }
  v128.store(y, y0);
  v128.store(y, y1, 16);
  v128.store(y, y2, 32);
  v128.store(y, y3, 48);
  v128.store(y, y4, 64);
  v128.store(y, y5, 80);
  v128.store(y, y6, 96);
  v128.store(y, y7, 112);
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
  return finishDot(f64x2.add(s0, s1), a, b, n & 3);
}

/** sums [4]: the dot products of x [n] with four rows, each in the order of `dot`. */
function dotFour(sums: usize, x: usize, row0: usize, stride: usize, n: i32): void {
  const row1 = row0 + stride;
  const row2 = row1 + stride;
  const row3 = row2 + stride;
  let a0 = f64x2.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const end = (<usize>(n & ~3)) << 3;
  for (let i: usize = 0; i < end; i += 32) {
    let v = v128.load(x + i);
    a0 = f64x2.add(a0, f64x2.mul(v128.load(row0 + i), v));
    a1 = f64x2.add(a1, f64x2.mul(v128.load(row1 + i), v));
    a2 = f64x2.add(a2, f64x2.mul(v128.load(row2 + i), v));
    a3 = f64x2.add(a3, f64x2.mul(v128.load(row3 + i), v));
    v = v128.load(x + i, 16);
    b0 = f64x2.add(b0, f64x2.mul(v128.load(row0 + i, 16), v));
    b1 = f64x2.add(b1, f64x2.mul(v128.load(row1 + i, 16), v));
    b2 = f64x2.add(b2, f64x2.mul(v128.load(row2 + i, 16), v));
    b3 = f64x2.add(b3, f64x2.mul(v128.load(row3 + i, 16), v));
  }
  const rest = n & 3;
  store<f64>(sums, finishDot(f64x2.add(a0, b0), row0 + end, x + end, rest));
  store<f64>(sums, finishDot(f64x2.add(a1, b1), row1 + end, x + end, rest), 8);
  store<f64>(sums, finishDot(f64x2.add(a2, b2), row2 + end, x + end, rest), 16);
  store<f64>(sums, finishDot(f64x2.add(a3, b3), row3 + end, x + end, rest), 24);
}

/** The two lanes, then the last products. */
function finishDot(lanes: v128, a: usize, b: usize, rest: i32): f64 {
  let sum = f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
  for (let i = 0; i < rest; i++) {
    sum += load<f64>(a) * load<f64>(b);
    a += 8;
    b += 8;
  }
  return sum;
}
