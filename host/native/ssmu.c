/*
 * SSMU: what a head does before and after the scan of its state (docs/numerics.md section 3.3), for AVX-512: 16 channels at a time, as
 * assembly/units/ssmu.ts and silu.ts do four and eight.
 */
#include "ints.h"
#include "kernels.h"

enum { LINE = 64 }; /* bytes of a cache line */

/* 16 int16 as int32. */
static inline vec load16(const int16_t* at) { return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i*)at)); }
static inline void store16(int16_t* at, __m256i values) { _mm256_storeu_si256((__m256i*)at, values); }

/* x·sigmoid(x) of Q11 with `fraction` bits, 0 <= fraction <= 16. steps: i16 [256][2], an entry and how far it is to the next. */
static inline __m256i silu(vec u, const int32_t* steps, int fraction) {
  const vec largest = splat(0xfffff), last = splat(0x7fff), zero = _mm512_setzero_si512();
  const vec x = _mm512_max_epi32(_mm512_min_epi32(u, largest), _mm512_sub_epi32(zero, largest)), a = _mm512_abs_epi32(x);
  const vec entries = _mm512_i32gather_epi32(_mm512_srli_epi32(_mm512_min_epi32(a, last), 7), steps, 4);
  const vec weights = _mm512_or_si512(_mm512_slli_epi32(_mm512_and_si512(a, splat(127)), 16), splat(128));
  const vec g = _mm512_srai_epi32(_mm512_add_epi32(_mm512_madd_epi16(entries, weights), splat(64)), 7);
  const vec inside = _mm512_maskz_mov_epi32(_mm512_cmple_epi32_mask(a, last), g);
  const vec y = _mm512_sub_epi32(_mm512_slli_epi32(_mm512_max_epi32(x, zero), 5), inside);
  const int drop = 16 - fraction;
  return _mm512_cvtsepi32_epi16(_mm512_sra_epi32(_mm512_add_epi32(y, splat(drop == 0 ? 0 : 1 << (drop - 1))), _mm_cvtsi32_si128(drop)));
}

/* What the next head will need: rows that lie so far apart that a processor does not see them coming. */
LM_FETCH fetch_next(const struct lm_convolution* v) {
  for (int c = v->channels; c < 2 * v->channels; c += LINE / 2) {
    for (int tap = 0; tap < v->width; tap++) {
      const size_t at = (size_t)tap * v->row + (size_t)c;
      _mm_prefetch((const char*)(v->weights + at), _MM_HINT_T0);
      if (tap + 1 < v->width) _mm_prefetch((const char*)(v->taps + at), _MM_HINT_T0);
    }
    _mm_prefetch((const char*)(v->bias + c), _MM_HINT_T0);
    _mm_prefetch((const char*)(v->bias + c) + LINE, _MM_HINT_T0);
  }
}

void lm_convolve_avx512(const struct lm_convolution* v) {
  fetch_next(v);
  for (int c = 0; c < v->channels; c += LANES) {
    const int16_t* weights = v->weights + c;
    vec sum = load(v->bias + c);
    for (int tap = 0, slot = v->slot; tap < v->width; tap++) {
      const vec x = load16(tap + 1 == v->width ? v->values + c : v->taps + (size_t)slot * v->row + (size_t)c);
      sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(x, load16(weights)));
      weights += v->row;
      slot = slot + 2 == v->width ? 0 : slot + 1;
    }
    store16(v->taps + (size_t)v->slot * v->row + (size_t)c, _mm256_loadu_si256((const __m256i*)(v->values + c)));
    store16(v->values + c, silu(shifted(sum, v->shift), v->silu, v->fraction));
  }
}

/* Smallest s with rsh(magnitude, s) <= 127. */
static int byte_shift(uint32_t magnitude) {
  const int s = magnitude < 128 ? 0 : 25 - __builtin_clz(magnitude);
  return s > 0 && ((magnitude >> (s - 1)) + 1) >> 1 > 127 ? s + 1 : s;
}

int lm_scale_input_avx512(int32_t* products, const int16_t* x, int32_t mantissa, int channels) {
  vec most = _mm512_setzero_si512();
  for (int i = 0; i < channels; i += LANES) {
    const vec product = _mm512_mullo_epi32(load16(x + i), splat(mantissa));
    store(products + i, product);
    most = _mm512_max_epu32(most, _mm512_abs_epi32(product));
  }
  const int s = byte_shift(_mm512_reduce_max_epu32(most));
  for (int i = 0; i < channels; i += LANES) store(products + i, shifted(load(products + i), s));
  return s;
}

/* Eight lanes of FP64, where every step is exact (assembly/units/exact.ts). */
static inline __m512d load_doubles(const int32_t* at) { return _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i*)at)); }
static inline __m512d load_short_doubles(const int16_t* at) {
  return _mm512_cvtepi32_pd(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i*)at)));
}
static inline __m512d nearest(__m512d x) {
  return _mm512_roundscale_pd(_mm512_add_pd(x, _mm512_set1_pd(0.5)), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
static inline __m512d saturated(__m512d x, double limit) {
  return _mm512_min_pd(_mm512_max_pd(x, _mm512_set1_pd(-limit)), _mm512_set1_pd(limit - 1));
}
static inline void store_integers(int32_t* at, __m512d x) {
  const __m512d bounded = _mm512_min_pd(x, _mm512_set1_pd(INT32_MAX)); /* below -2^31 the conversion gives that */
  _mm256_storeu_si256((__m256i*)at, _mm512_cvttpd_epi32(bounded));
}

void lm_read_head_avx512(int32_t* y, const int16_t* x, double fade, double skip, int channels) {
  for (int i = 0; i < channels; i += 8) {
    const __m512d sum = nearest(_mm512_mul_pd(load_doubles(y + i), _mm512_set1_pd(fade)));
    store_integers(y + i, _mm512_add_pd(sum, nearest(_mm512_mul_pd(load_short_doubles(x + i), _mm512_set1_pd(skip)))));
  }
}

uint64_t lm_gate_avx512(const struct lm_gate* v) {
  __m512d squares = _mm512_setzero_pd(); /* below 2^46 each, LM_HEAD_CHANNELS of them in eight lanes: exact */
  for (int i = 0; i < v->channels; i += LANES) {
    int16_t z[LANES];
    store16(z, silu(shifted(load16(v->z + i), v->z_shift), v->silu, v->z_fraction));
    for (int half = 0; half < LANES; half += 8) {
      const int at = i + half;
      const __m512d product = _mm512_mul_pd(load_doubles(v->y + at), load_short_doubles(z + half));
      const __m512d g = saturated(nearest(_mm512_mul_pd(product, _mm512_set1_pd(v->scale))), 0x1p23);
      squares = _mm512_add_pd(squares, _mm512_mul_pd(g, g));
      if (v->gamma == NULL) {
        store_integers(v->out + at, g);
        continue;
      }
      const __m512d u = _mm512_mul_pd(_mm512_mul_pd(g, load_short_doubles(v->gamma + at)), _mm512_set1_pd(v->gamma_scale));
      store_integers(v->out + at, saturated(nearest(u), 0x1p17));
    }
  }
  return (uint64_t)_mm512_reduce_add_pd(squares);
}
