// HTU, Hadamard transform unit: w = (H_m ⊗ H_2^k) u, exact in int32 (docs/numerics.md section 3.4, docs/units/htu.md).
// Index i·2^k + j: butterflies over j, then the ±1 matrix of order m over i.

/** In place on w i32 [blocks · m · 2^log2]; signs i8 [m][m]; scratch i32 [m · 2^log2] (unused when m = 1). */
export function transform(w: usize, blocks: i32, m: i32, log2: i32, signs: usize, scratch: usize): void {
  const length = 1 << log2;
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < m; i++) butterflies(w + (((<usize>i) << log2) << 2), length);
    if (m > 1) mix(w, m, length, signs, scratch);
    w += ((<usize>m) << log2) << 2;
  }
}

function butterflies(w: usize, length: i32): void {
  for (let half = 1; half < length; half <<= 1) {
    const step = (<usize>half) << 2;
    for (let i = 0; i < length; i += half << 1) {
      let p = w + ((<usize>i) << 2);
      if (half >= 4) {
        for (const end = p + step; p < end; p += 16) {
          const a = v128.load(p);
          const b = v128.load(p + step);
          v128.store(p, i32x4.add(a, b));
          v128.store(p + step, i32x4.sub(a, b));
        }
      } else {
        for (const end = p + step; p < end; p += 4) {
          const a = load<i32>(p);
          const b = load<i32>(p + step);
          store<i32>(p, a + b);
          store<i32>(p + step, a - b);
        }
      }
    }
  }
}

/** w[r][·] = Σ_i signs[r][i] · w[i][·] over rows of `length`. */
function mix(w: usize, m: i32, length: i32, signs: usize, scratch: usize): void {
  const row = (<usize>length) << 2;
  memory.copy(scratch, w, <usize>m * row);
  for (let r = 0; r < m; r++) {
    const out = w + <usize>r * row;
    for (let j: usize = 0; j < row; j += 16) {
      if (row - j >= 16) v128.store(out + j, signedSum4(scratch + j, row, signs, m));
      else for (let one = j; one < row; one += 4) store<i32>(out + one, signedSum(scratch + one, row, signs, m));
    }
    signs += m;
  }
}

function signedSum4(x: usize, row: usize, signs: usize, m: i32): v128 {
  let sum = i32x4.splat(0);
  for (let i = 0; i < m; i++) {
    const value = v128.load(x);
    sum = load<i8>(signs + i) > 0 ? i32x4.add(sum, value) : i32x4.sub(sum, value);
    x += row;
  }
  return sum;
}

function signedSum(x: usize, row: usize, signs: usize, m: i32): i32 {
  let sum = 0;
  for (let i = 0; i < m; i++) {
    sum += <i32>load<i8>(signs + i) * load<i32>(x);
    x += row;
  }
  return sum;
}
