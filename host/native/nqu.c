/* NQU (docs/numerics.md section 3.1), as assembly/units/nqu.ts does it, for AVX-512: a group of 16 values is a vector. */
#include "ints.h"
#include "kernels.h"

_Static_assert((int)LANES == (int)ACTIVATION_GROUP, "a group is a vector");

enum {
  GROUPED_GUARD = 5,
  WHOLE_GUARD = 8,
  LEVELS = 15,
  WIDEST = 3825, /* 255 · 15, of a group at exponent 0 */
};

/* Σ x² in eight lanes of int64. */
static inline vec add_squares(vec sum, vec x) {
  const vec odd = _mm512_srli_epi64(x, 32);
  return _mm512_add_epi64(_mm512_add_epi64(sum, _mm512_mul_epi32(x, x)), _mm512_mul_epi32(odd, odd));
}

/* Codes of group g into its record, with its scale as the MMU takes it. */
static inline void store_group(uint8_t* records, int g, vec codes, int scale) {
  uint8_t* record = records + (size_t)(g / 2) * RECORD_BYTES;
  _mm_storeu_si128((__m128i*)(record + g % 2 * LANES), _mm512_cvtepi32_epi8(codes));
  const uint16_t stored = (uint16_t)scale;
  const int16_t offset = (int16_t)(8 * _mm512_reduce_add_epi32(codes));
  __builtin_memcpy(record + RECORD_SCALES + 2 * (g % 2), &stored, sizeof stored);
  __builtin_memcpy(record + RECORD_OFFSETS + 2 * (g % 2), &offset, sizeof offset);
}

/* What 16 groups have one of each: from their least and largest values to scale, its inverse and the zero point. */
static inline void zero_points(const int32_t* low, const int32_t* high, int e, int32_t* scales, int32_t* inverses, int32_t* zeros) {
  const vec least = load(low), range = _mm512_sub_epi32(load(high), least);
  /* ceil(range / 2^e): the range may be all of uint32 */
  const vec whole = _mm512_srl_epi32(range, _mm_cvtsi32_si128(e));
  const vec rest = _mm512_and_si512(range, splat((int32_t)((1U << e) - 1)));
  const vec t = _mm512_mask_add_epi32(whole, _mm512_test_epi32_mask(rest, rest), whole, splat(1));
  /* (t + 14) / 15 of t < 2^13, as a product */
  const vec scale = _mm512_max_epi32(_mm512_srli_epi32(_mm512_mullo_epi32(_mm512_add_epi32(t, splat(14)), splat(34953)), 19), splat(1));
  /* Quotients of integers below 2^17, which FP32 never rounds up to the next one. */
  const vec dividend = _mm512_add_epi32(splat(0x10000), _mm512_srli_epi32(scale, 1));
  const vec inverse = _mm512_cvttps_epi32(_mm512_div_ps(_mm512_cvtepi32_ps(dividend), _mm512_cvtepi32_ps(scale)));
  const vec origin = _mm512_mullo_epi32(_mm512_sub_epi32(_mm512_setzero_si512(), shifted(least, e - GROUPED_GUARD)), inverse);
  const vec zero = _mm512_srai_epi32(_mm512_add_epi32(origin, splat(0x100000)), 21);
  store(scales, scale);
  store(inverses, inverse);
  store(zeros, _mm512_min_epi32(_mm512_max_epi32(zero, _mm512_setzero_si512()), splat(LEVELS)));
}

uint64_t lm_quantize_a4_avx512(int32_t* exponent, uint8_t* records, const int32_t* values, int groups) {
  int32_t low[LM_MOST_GROUPS], high[LM_MOST_GROUPS];
  uint32_t widest = 0;
  for (int g = 0; g < groups; g++) {
    const vec x = load(values + (size_t)g * LANES);
    const int32_t least = _mm512_reduce_min_epi32(x), most = _mm512_reduce_max_epi32(x);
    low[g] = least < 0 ? least : 0;
    high[g] = most > 0 ? most : 0;
    const uint32_t range = (uint32_t)high[g] - (uint32_t)low[g];
    if (range > widest) widest = range;
  }
  for (int g = groups; g % LANES != 0; g++) low[g] = high[g] = 0;
  int e = 0;
  while (widest > (uint64_t)WIDEST << e) e++;
  *exponent = e;
  vec sum = _mm512_setzero_si512();
  for (int first = 0; first < groups; first += LANES) {
    int32_t scales[LANES], inverses[LANES], zeros[LANES];
    zero_points(low + first, high + first, e, scales, inverses, zeros);
    for (int i = 0; i < LANES && first + i < groups; i++) {
      const vec x = shifted(load(values + (size_t)(first + i) * LANES), e - GROUPED_GUARD), zero = splat(zeros[i]);
      sum = add_squares(sum, x);
      const vec scaled = _mm512_srai_epi32(_mm512_add_epi32(_mm512_mullo_epi32(x, splat(inverses[i])), splat(0x100000)), 21);
      const vec code = _mm512_min_epi32(_mm512_max_epi32(_mm512_add_epi32(scaled, zero), _mm512_setzero_si512()), splat(LEVELS));
      store_group(records, first + i, _mm512_sub_epi32(code, zero), scales[i] << A4_SCALE_SHIFT);
    }
  }
  return (uint64_t)_mm512_reduce_add_epi64(sum);
}

uint64_t lm_quantize_a8_avx512(int32_t* exponent, uint8_t* records, const int32_t* values, int groups) {
  vec largest = _mm512_setzero_si512();
  for (int g = 0; g < groups; g++) largest = _mm512_max_epi32(largest, _mm512_abs_epi32(load(values + (size_t)g * LANES)));
  const int64_t magnitude = _mm512_reduce_max_epi32(largest);
  int e = 0;
  while ((e == 0 ? magnitude : (magnitude + (1LL << (e - 1))) >> e) > 127) e++;
  *exponent = e;
  vec sum = _mm512_setzero_si512();
  for (int g = 0; g < groups; g++) {
    const vec x = load(values + (size_t)g * LANES);
    sum = add_squares(sum, shifted(x, e - WHOLE_GUARD));
    store_group(records, g, _mm512_max_epi32(_mm512_min_epi32(shifted(x, e), splat(127)), splat(-127)), 0);
  }
  return (uint64_t)_mm512_reduce_add_epi64(sum);
}
