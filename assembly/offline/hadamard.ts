/**
 * In place: each row times (H_m ⊗ H_{2^k}) · factor. Element i·2^k + j of a row: i counts over m, j over 2^k.
 * H_{2^k} is Sylvester's, in natural order; H_m is any m × m matrix of ±1.
 *
 * @param x [T, m·2^k]
 * @param signs [m, m] of i8
 * @param scratch [m·2^k]
 */
export function hadamard(x: usize, tokens: i32, m: i32, k: i32, signs: usize, factor: f32, scratch: usize): void {
  const blockBytes = (<usize>4) << k;
  const rowBytes = <usize>m * blockBytes;
  for (let t = 0; t < tokens; t++, x += rowBytes) {
    for (let at: usize = 0; at < rowBytes; at += blockBytes) butterflies(x + at, blockBytes);
    if (m > 1 || load<i8>(signs) < 0) {
      for (let i = 0; i < m; i++) mixBlocks(scratch + <usize>i * blockBytes, x, signs + <usize>(i * m), m, blockBytes);
      memory.copy(x, scratch, rowBytes);
    }
    scale(x, rowBytes, factor);
  }
}

/** Fast Walsh-Hadamard transform of 2^k values, in place. @param x [2^k] */
function butterflies(x: usize, bytes: usize): void {
  for (let half: usize = 4; half < bytes; half <<= 1) {
    for (let base: usize = 0; base < bytes; base += half << 1) {
      if (half >= 16) wideButterfly(x + base, half);
      else narrowButterfly(x + base, half);
    }
  }
}

function narrowButterfly(x: usize, half: usize): void {
  for (let i: usize = 0; i < half; i += 4) {
    const a = load<f32>(x + i);
    const b = load<f32>(x + i + half);
    store<f32>(x + i, a + b);
    store<f32>(x + i + half, a - b);
  }
}

function wideButterfly(x: usize, half: usize): void {
  for (let i: usize = 0; i < half; i += 16) {
    const a = v128.load(x + i);
    const b = v128.load(x + i + half);
    v128.store(x + i, f32x4.add(a, b));
    v128.store(x + i + half, f32x4.sub(a, b));
  }
}

/** One output block: the input blocks added or subtracted as a row of H_m says. @param y [2^k] @param x [m, 2^k] */
function mixBlocks(y: usize, x: usize, signs: usize, m: i32, blockBytes: usize): void {
  let j: usize = 0;
  for (; j + 16 <= blockBytes; j += 16) {
    let sum = f32x4.splat(0);
    for (let l = 0; l < m; l++) {
      const v = v128.load(x + <usize>l * blockBytes + j);
      sum = load<i8>(signs + <usize>l) < 0 ? f32x4.sub(sum, v) : f32x4.add(sum, v);
    }
    v128.store(y + j, sum);
  }
  for (; j < blockBytes; j += 4) {
    let sum: f32 = 0;
    for (let l = 0; l < m; l++) {
      const v = load<f32>(x + <usize>l * blockBytes + j);
      sum = load<i8>(signs + <usize>l) < 0 ? sum - v : sum + v;
    }
    store<f32>(y + j, sum);
  }
}

function scale(x: usize, bytes: usize, factor: f32): void {
  for (let i: usize = 0; i < bytes; i += 4) store<f32>(x + i, load<f32>(x + i) * factor);
}
