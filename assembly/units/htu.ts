// HTU, Hadamard transform unit: w = (H_m ⊗ H_2^k) u, exact in int32 (docs/numerics.md section 3.4, docs/units/htu.md).
// Index i·2^k + j: butterflies over j, then the ±1 matrix of order m over i. Sums of integers: any order gives the same bits.
import { transform as native } from "../native";

/** In place on w i32 [blocks · m · 2^log2]; signs i8 [m][m]; scratch i32 [m · 2^log2] (unused when m = 1). */
export function transform(w: usize, blocks: i32, m: i32, log2: i32, signs: usize, scratch: usize): void {
  if (isDefined(NATIVE)) if (native(w, blocks, m, log2, signs, memory.size())) return;
  const length = 1 << log2;
  const row = (<usize>length) << 2;
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < m; i++) butterflies(w + <usize>i * row, length);
    if (m > 1) mix(w, m, row, signs, scratch);
    w += <usize>m * row;
  }
}

function butterflies(w: usize, length: i32): void {
  if (length < 4) {
    if (length == 2) butterfly(w, w + 4);
    return;
  }
  const end = w + ((<usize>length) << 2);
  for (let p = w; p < end; p += 16) v128.store(p, Butterfly.within(v128.load(p)));
  let half: usize = 16;
  // Two levels at a time halve the loads and stores.
  for (; half * 4 <= end - w; half *= 4) {
    for (let i = w; i < end; i += half * 4) {
      for (let p = i; p < i + half; p += 16) Butterfly.four(p, half);
    }
  }
  if (half < end - w) {
    for (let p = w; p < w + half; p += 16) Butterfly.two(p, half);
  }
}

function butterfly(p: usize, q: usize): void {
  const a = load<i32>(p);
  const b = load<i32>(q);
  store<i32>(p, a + b);
  store<i32>(q, a - b);
}

class Butterfly {
  /** Both levels inside a vector. */
  @inline
  static within(x: v128): v128 {
    // a+b, c+d, a-b, c-d from a c | b d, and once more
    const even = i8x16.shuffle(x, x, 0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11);
    const odd = i8x16.shuffle(x, x, 4, 5, 6, 7, 12, 13, 14, 15, 4, 5, 6, 7, 12, 13, 14, 15);
    const sum = i32x4.add(even, odd); //        a+b c+d | …
    const difference = i32x4.sub(even, odd); // a-b c-d | …
    const left = i8x16.shuffle(sum, difference, 0, 1, 2, 3, 16, 17, 18, 19, 0, 1, 2, 3, 16, 17, 18, 19);
    const right = i8x16.shuffle(sum, difference, 4, 5, 6, 7, 20, 21, 22, 23, 4, 5, 6, 7, 20, 21, 22, 23);
    const low = i32x4.add(left, right);
    const high = i32x4.sub(left, right);
    return i8x16.shuffle(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  }

  /** One level: p and p + half. */
  @inline
  static two(p: usize, half: usize): void {
    const a = v128.load(p);
    const b = v128.load(p + half);
    v128.store(p, i32x4.add(a, b));
    v128.store(p + half, i32x4.sub(a, b));
  }

  /** Two levels: p, p + half, p + 2·half, p + 3·half. */
  @inline
  static four(p: usize, half: usize): void {
    const a = v128.load(p);
    const b = v128.load(p + half);
    const c = v128.load(p + 2 * half);
    const d = v128.load(p + 3 * half);
    const ab = i32x4.add(a, b);
    const cd = i32x4.add(c, d);
    const a_b = i32x4.sub(a, b);
    const c_d = i32x4.sub(c, d);
    v128.store(p, i32x4.add(ab, cd));
    v128.store(p + half, i32x4.add(a_b, c_d));
    v128.store(p + 2 * half, i32x4.sub(ab, cd));
    v128.store(p + 3 * half, i32x4.sub(a_b, c_d));
  }
}

/** w[r][·] = Σ_i signs[r][i] · w[i][·] over m rows of `row` bytes: 16 columns at a time, so that a sign is looked at once for all of them. */
function mix(w: usize, m: i32, row: usize, signs: usize, scratch: usize): void {
  memory.copy(scratch, w, <usize>m * row);
  for (let r = 0; r < m; r++) {
    let j: usize = 0;
    for (; j + 64 <= row; j += 64) Mix.sixteen(w + j, scratch + j, row, signs, m);
    for (; j + 16 <= row; j += 16) Mix.four(w + j, scratch + j, row, signs, m);
    for (; j < row; j += 4) store<i32>(w + j, signedSum(scratch + j, row, signs, m));
    w += row;
    signs += m;
  }
}

class Mix {
  @inline
  static sixteen(out: usize, x: usize, row: usize, signs: usize, m: i32): void {
    let a = i32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    for (let i = 0; i < m; i++) {
      if (load<i8>(signs + i) > 0) {
        a = i32x4.add(a, v128.load(x));
        b = i32x4.add(b, v128.load(x, 16));
        c = i32x4.add(c, v128.load(x, 32));
        d = i32x4.add(d, v128.load(x, 48));
      } else {
        a = i32x4.sub(a, v128.load(x));
        b = i32x4.sub(b, v128.load(x, 16));
        c = i32x4.sub(c, v128.load(x, 32));
        d = i32x4.sub(d, v128.load(x, 48));
      }
      x += row;
    }
    v128.store(out, a);
    v128.store(out, b, 16);
    v128.store(out, c, 32);
    v128.store(out, d, 48);
  }

  @inline
  static four(out: usize, x: usize, row: usize, signs: usize, m: i32): void {
    let sum = i32x4.splat(0);
    for (let i = 0; i < m; i++) {
      const value = v128.load(x);
      sum = load<i8>(signs + i) > 0 ? i32x4.add(sum, value) : i32x4.sub(sum, value);
      x += row;
    }
    v128.store(out, sum);
  }
}

function signedSum(x: usize, row: usize, signs: usize, m: i32): i32 {
  let sum = 0;
  for (let i = 0; i < m; i++) {
    sum += <i32>load<i8>(signs + i) * load<i32>(x);
    x += row;
  }
  return sum;
}
