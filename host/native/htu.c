/* HTU: Hadamard transform (docs/numerics.md section 3.4), as assembly/units/htu.ts does it, for AVX-512. Sums of integers: any order gives the same bits. */
#include "ints.h"
#include "kernels.h"

/* One level between lanes: x + y, and where the mask is set y - x, which is the difference of a pair the other way round. */
static inline vec level(vec x, vec y, __mmask16 second) { return _mm512_mask_sub_epi32(_mm512_add_epi32(x, y), second, y, x); }

/* The four levels inside of a vector. */
static inline vec within(vec x) {
  x = level(x, _mm512_shuffle_epi32(x, 0xb1), 0xaaaa);
  x = level(x, _mm512_shuffle_epi32(x, 0x4e), 0xcccc);
  x = level(x, _mm512_shuffle_i32x4(x, x, 0xb1), 0xf0f0);
  return level(x, _mm512_shuffle_i32x4(x, x, 0x4e), 0xff00);
}

static void butterflies(int32_t* w, int length) {
  for (int i = 0; i < length; i += LANES) store(w + i, within(load(w + i)));
  int half = LANES;
  for (; half * 4 <= length; half *= 4) { /* two levels at a time */
    for (int i = 0; i < length; i += half * 4) {
      for (int32_t* p = w + i; p < w + i + half; p += LANES) {
        const vec a = load(p), b = load(p + half), c = load(p + 2 * half), d = load(p + 3 * half);
        const vec ab = _mm512_add_epi32(a, b), cd = _mm512_add_epi32(c, d), a_b = _mm512_sub_epi32(a, b), c_d = _mm512_sub_epi32(c, d);
        store(p, _mm512_add_epi32(ab, cd));
        store(p + half, _mm512_add_epi32(a_b, c_d));
        store(p + 2 * half, _mm512_sub_epi32(ab, cd));
        store(p + 3 * half, _mm512_sub_epi32(a_b, c_d));
      }
    }
  }
  if (half < length) {
    for (int32_t* p = w; p < w + half; p += LANES) {
      const vec a = load(p), b = load(p + half);
      store(p, _mm512_add_epi32(a, b));
      store(p + half, _mm512_sub_epi32(a, b));
    }
  }
}

/* w[r][·] = Σ_i signs[r][i] · w[i][·] of m rows: the sum of all, less twice those with a minus. 32 columns at a time. */
static void mix(int32_t* w, int m, int row, const int8_t* signs) {
  enum { WIDE = 2 };
  for (int j = 0; j < row; j += WIDE * LANES) {
    vec x[LM_MOST_ORDER][WIDE], all[WIDE];
    const int wide = row - j < WIDE * LANES ? 1 : WIDE;
    for (int v = 0; v < WIDE; v++) all[v] = _mm512_setzero_si512();
    for (int i = 0; i < m; i++) {
      for (int v = 0; v < WIDE; v++) {
        x[i][v] = load(w + (size_t)i * (size_t)row + (size_t)(j + (v < wide ? v : 0) * LANES));
        all[v] = _mm512_add_epi32(all[v], x[i][v]);
      }
    }
    for (int r = 0; r < m; r++) {
      vec minus[WIDE] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
      for (int i = 0; i < m; i++) {
        const __mmask16 negative = (__mmask16)(signs[r * m + i] >> 7);
        for (int v = 0; v < WIDE; v++) minus[v] = _mm512_mask_add_epi32(minus[v], negative, minus[v], x[i][v]);
      }
      for (int v = 0; v < wide; v++) {
        store(w + (size_t)r * (size_t)row + (size_t)(j + v * LANES), _mm512_sub_epi32(all[v], _mm512_slli_epi32(minus[v], 1)));
      }
    }
  }
}

void lm_transform_avx512(int32_t* w, int blocks, int m, int length, const int8_t* signs) {
  for (int block = 0; block < blocks; block++) {
    for (int i = 0; i < m; i++) butterflies(w + (size_t)i * (size_t)length, length);
    if (m > 1) mix(w, m, length, signs);
    w += (size_t)m * (size_t)length;
  }
}
