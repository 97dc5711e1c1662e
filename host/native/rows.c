/* The MMU's row scale (docs/numerics.md section 3.2), as assembly/units/rows.ts does it: every step in FP64, where it is exact. */
#include "kernels.h"

#include <immintrin.h>

enum { FOUR = 4 };

/* 2^e of four exponents, by writing those of FP64 numbers. */
static inline __m256d powers(const int8_t* exponents) {
  int32_t bytes;
  __builtin_memcpy(&bytes, exponents, sizeof bytes);
  const __m256i e = _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(bytes));
  return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(e, _mm256_set1_epi64x(1023)), 52));
}

static inline __m256d load_four(const int32_t* at) { return _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i*)at)); }

/* Four rows of one block and token; low: of 8-bit codes the low plane's sums, else NULL. */
static inline __m128i scale_four(const int32_t* sums, const int32_t* low, __m256d factor, const int32_t* bias, const int32_t* addend) {
  __m256d x = load_four(sums);
  if (low) x = _mm256_add_pd(_mm256_mul_pd(x, _mm256_set1_pd(16)), load_four(low));
  x = _mm256_floor_pd(_mm256_add_pd(_mm256_mul_pd(x, factor), _mm256_set1_pd(0.5)));
  if (bias) x = _mm256_add_pd(x, load_four(bias));
  if (addend) x = _mm256_add_pd(x, load_four(addend));
  return _mm256_cvttpd_epi32(_mm256_min_pd(x, _mm256_set1_pd(INT32_MAX))); /* below -2^31 it gives that */
}

void lm_scale_rows_avx2(const struct lm_rows* r) {
  const size_t plane = (size_t)r->tokens * BLOCK_ROWS;
  for (int b = 0; b < r->blocks; b++) {
    const size_t row = (size_t)b * BLOCK_ROWS;
    int32_t* const block = r->sums + (size_t)(b * r->planes) * plane;
    for (int half = 0; half < BLOCK_ROWS; half += FOUR) {
      const __m256d power = powers(r->exponents + row + half);
      const int32_t* bias = r->bias ? r->bias + row + half : NULL;
      for (int t = 0; t < r->tokens; t++) {
        int32_t* const sums = block + (size_t)t * BLOCK_ROWS + half;
        const int32_t* low = r->planes == 2 ? sums + plane : NULL;
        const int32_t* addend = r->addends[t] ? r->addends[t] + row + half : NULL;
        const __m256d factor = _mm256_mul_pd(power, _mm256_set1_pd(r->factors[b * r->tokens + t]));
        _mm_storeu_si128((__m128i*)sums, scale_four(sums, low, factor, bias, addend));
      }
    }
  }
}
