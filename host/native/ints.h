/* Vectors of 16 int32, for AVX-512. */
#ifndef LM_INTS_H
#define LM_INTS_H

#include <immintrin.h>
#include <stdint.h>

enum { LANES = 16 };

typedef __m512i vec;

static inline vec splat(int32_t value) { return _mm512_set1_epi32(value); }
static inline vec load(const int32_t* at) { return _mm512_loadu_si512(at); }
static inline void store(int32_t* at, vec x) { _mm512_storeu_si512(at, x); }

/* rsh of lanes for -31 <= s <= 31; nothing is lost to a left shift where the result fits. */
static inline vec shifted(vec x, int s) {
  if (s <= 0) return _mm512_sll_epi32(x, _mm_cvtsi32_si128(-s));
  return _mm512_srai_epi32(_mm512_add_epi32(_mm512_sra_epi32(x, _mm_cvtsi32_si128(s - 1)), splat(1)), 1);
}

#endif
