/*
 * SSMU: update and readout of a head's int8 state (docs/numerics.md section 3.3), for AVX-512. Steps, terms and tables are those of
 * assembly/units/ssmu-groups.ts, which says why each of them is right; here a shift by a variable is one instruction.
 *
 * Four channels of eight groups of 16 values at a time. What a group has one of is a place of a vector of int16, [channel][group]. A channel's values are
 * two quads of groups, each of two vectors: values 0…7 and 8…15, a lane of 16 bytes for each group, as its codes lie in memory.
 */
#include "kernels.h"

#include <immintrin.h>

enum {
  CHANNELS = 4,
  GROUPS = 8,
  BLOCK = GROUPS * STATE_GROUP,
  QUADS = 2, /* of groups, of a channel */
  QUAD_VALUES = BLOCK / QUADS,
  EXPONENT_MIN = -64,
  EXPONENT_MAX = 63,
  /* assembly/units/dither.ts: rows u = -15…8 of SHIFT_ROWS */
  UNSHIFTED_ROW = 15,
  LAST_ROW = SHIFT_ROWS - 1,
  DITHER_TOKEN = 163,
  DITHER_CHANNEL = 75,
  TERM_LIMIT = 0x3ffffff,
};

typedef __m512i vec;

static inline vec splat(int value) { return _mm512_set1_epi16((int16_t)value); }
static inline vec load(const void* at) { return _mm512_loadu_si512(at); }

/* Of all groups: how state and input come to one exponent. */
struct aligned {
  vec working;        /* exponent of the sums */
  vec state_powers;   /* 2^(14 - sa), 0 where the state has faded */
  vec input_powers;   /* -2^(15 - s) */
  vec coarse_powers;  /* -2^(15 - (s - 8)), for what is shifted by more than 8 */
  int16_t rows[CHANNELS * GROUPS]; /* of SHIFT_ROWS */
  uint32_t shifted;   /* a bit for each group */
  uint32_t coarse;
};

static inline vec load_exponents(const int8_t* at, size_t step) {
  int64_t e[CHANNELS];
  for (int i = 0; i < CHANNELS; i++) __builtin_memcpy(&e[i], at + (size_t)i * step, GROUPS);
  return _mm512_cvtepi8_epi16(_mm256_set_epi64x(e[3], e[2], e[1], e[0]));
}

static inline void store_exponents(int8_t* at, size_t step, vec exponents) {
  const __m256i bytes = _mm512_cvtepi16_epi8(exponents);
  const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
  _mm_storel_epi64((__m128i*)at, low);
  _mm_storeh_pd((double*)(at + step), _mm_castsi128_pd(low));
  _mm_storel_epi64((__m128i*)(at + 2 * step), high);
  _mm_storeh_pd((double*)(at + 3 * step), _mm_castsi128_pd(high));
}

static inline void align(struct aligned* out, const struct lm_scan* s, vec exponents) {
  const vec least = splat(EXPONENT_MIN), zero = _mm512_setzero_si512(), unshifted = splat(UNSHIFTED_ROW);
  const vec fresh = _mm512_sub_epi16(exponents, splat(s->halvings));
  const vec eh = _mm512_max_epi16(fresh, least);
  out->working = _mm512_max_epi16(_mm512_sub_epi16(eh, splat(7)), splat(s->exponent));
  const vec row = _mm512_sub_epi16(eh, splat(s->exponent + 7 - UNSHIFTED_ROW));
  const vec clamped = _mm512_min_epi16(_mm512_max_epi16(row, zero), splat(LAST_ROW));
  const vec inside = _mm512_maskz_mov_epi16(_mm512_cmpge_epi16_mask(fresh, least), clamped);
  const vec state_shift = _mm512_max_epi16(_mm512_sub_epi16(unshifted, inside), zero);
  const vec input_shift = _mm512_max_epi16(_mm512_sub_epi16(inside, unshifted), zero);
  const vec beyond = _mm512_min_epi16(_mm512_max_epi16(_mm512_sub_epi16(row, clamped), zero), splat(15));
  out->state_powers = _mm512_srlv_epi16(splat(0x4000), state_shift);
  out->input_powers = _mm512_sllv_epi16(splat(-1), _mm512_sub_epi16(splat(15), input_shift));
  out->coarse_powers = _mm512_maskz_sllv_epi16(_mm512_cmplt_epi16_mask(beyond, splat(15)), splat(-1), _mm512_sub_epi16(splat(15), beyond));
  _mm512_storeu_si512(out->rows, inside);
  out->shifted = _mm512_cmpgt_epi16_mask(row, unshifted);
  out->coarse = _mm512_cmpgt_epi16_mask(row, splat(LAST_ROW));
}

/* Four places, eight times each. */
#define EIGHT(n) n, n, n, n, n, n, n, n
#define QUAD(n) {EIGHT(n), EIGHT(n + 1), EIGHT(n + 2), EIGHT(n + 3)}
static const _Alignas(64) int16_t quads[CHANNELS][QUADS][32] = {
    {QUAD(0), QUAD(4)}, {QUAD(8), QUAD(12)}, {QUAD(16), QUAD(20)}, {QUAD(24), QUAD(28)}};

/* What the groups of a quad have one of, for each of their values. */
static inline vec spread(vec places, int channel, int quad) { return _mm512_permutexvar_epi16(load(quads[channel][quad]), places); }

/* 64 values of int16 in their order, as values 0…7 and 8…15 of four groups. */
struct halves {
  vec low, high;
};

static inline struct halves split(vec first, vec second) {
  return (struct halves){_mm512_shuffle_i64x2(first, second, 0x88), _mm512_shuffle_i64x2(first, second, 0xdd)};
}

static inline struct halves load_split(const void* at) { return split(load(at), load((const uint8_t*)at + 64)); }

/* Runs of 16 values that begin at different rows: those of two groups. */
static inline vec load_runs(const uint8_t* dither, const int16_t* rows) {
  const uint8_t* first = dither + (size_t)rows[0] * SHIFT_ROW_BYTES + SHIFT_ROW_POWERS;
  const uint8_t* second = dither + (size_t)rows[1] * SHIFT_ROW_BYTES + SHIFT_ROW_POWERS + 2 * STATE_GROUP;
  const vec low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i*)first));
  return _mm512_inserti64x4(low, _mm256_loadu_si256((const __m256i*)second), 1);
}

/* x times what a quad's groups are shifted by, dithered; x is negative. */
static inline struct halves shift_inputs(struct halves x, const struct aligned* a, const uint8_t* dither, int channel, int quad, int coarse) {
  if (coarse) {
    const vec power = spread(a->coarse_powers, channel, quad), zero = _mm512_setzero_si512();
    x.low = _mm512_sub_epi16(zero, _mm512_mulhrs_epi16(x.low, power));
    x.high = _mm512_sub_epi16(zero, _mm512_mulhrs_epi16(x.high, power));
  }
  const int16_t* rows = a->rows + GROUPS * channel + 4 * quad;
  const uint8_t* at = dither + 2 * QUAD_VALUES * quad;
  const struct halves d = split(load_runs(at, rows), load_runs(at + 4 * STATE_GROUP, rows + 2));
  const vec power = spread(a->input_powers, channel, quad);
  x.low = _mm512_mulhrs_epi16(_mm512_add_epi16(x.low, d.low), power);
  x.high = _mm512_mulhrs_epi16(_mm512_add_epi16(x.high, d.high), power);
  return x;
}

/* a + b of a channel's groups. */
static inline void add_inputs(struct halves out[QUADS], const struct aligned* a, const int8_t* codes, int32_t input, const struct halves b[QUADS],
                              const uint8_t* dither, int channel) {
  const uint32_t groups = 0xffU << (GROUPS * channel);
  const int shifted = (a->shifted & groups) != 0, coarse = (a->coarse & groups) != 0;
  const vec factor = splat(shifted ? -input : input);
  for (int quad = 0; quad < QUADS; quad++) {
    struct halves x = {_mm512_mullo_epi16(factor, b[quad].low), _mm512_mullo_epi16(factor, b[quad].high)};
    if (shifted) x = shift_inputs(x, a, dither, channel, quad, coarse);
    const vec h = load(codes + QUAD_VALUES * quad), zero = _mm512_setzero_si512(), power = spread(a->state_powers, channel, quad);
    out[quad].low = _mm512_add_epi16(_mm512_mulhrs_epi16(_mm512_unpacklo_epi8(zero, h), power), x.low); /* h · 256 */
    out[quad].high = _mm512_add_epi16(_mm512_mulhrs_epi16(_mm512_unpackhi_epi8(zero, h), power), x.high);
  }
}

static inline vec max_of16(vec x, vec y) { return _mm512_max_epi16(_mm512_unpacklo_epi16(x, y), _mm512_unpackhi_epi16(x, y)); }
static inline vec sum_of32(vec x, vec y) { return _mm512_add_epi32(_mm512_unpacklo_epi32(x, y), _mm512_unpackhi_epi32(x, y)); }

/* Largest magnitude of each group. */
static inline vec magnitudes(struct halves sums[CHANNELS][QUADS]) {
  vec m[8]; /* [channel][quad]: a lane for each group */
  for (int i = 0; i < 8; i++) {
    const struct halves x = sums[i / QUADS][i % QUADS];
    m[i] = _mm512_max_epi16(_mm512_abs_epi16(x.low), _mm512_abs_epi16(x.high));
  }
  for (int i = 0; i < 4; i++) m[i] = max_of16(m[2 * i], m[2 * i + 1]);
  for (int i = 0; i < 2; i++) m[i] = max_of16(m[2 * i], m[2 * i + 1]);
  const vec mixed = max_of16(m[0], m[1]); /* [group mod 4][bits of [channel][quad] reversed] */
  /* Place [channel][quad][group mod 4] is in the lane of the group, the first two as three bits that are reversed. */
#define SOURCE(n) n, n + 8, n + 16, n + 24
  static const _Alignas(64) int16_t index[CHANNELS * GROUPS] = {SOURCE(0), SOURCE(4), SOURCE(2), SOURCE(6), SOURCE(1), SOURCE(5), SOURCE(3), SOURCE(7)};
  return _mm512_permutexvar_epi16(load(index), mixed);
}

/* Exponents of the codes, and 2^(8 - r) for the shift r from sums to codes: 0 for a group that is emptied. */
static inline vec scale(vec* powers, const struct aligned* a, vec magnitude) {
  const vec lengths = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4));
  const vec high_lengths = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8));
  const vec least = splat(EXPONENT_MIN);
  const vec less = _mm512_srli_epi16(_mm512_subs_epu16(magnitude, splat(1)), 7);
  const vec above = _mm512_srli_epi16(_mm512_add_epi16(magnitude, less), 7);
  const vec low = _mm512_shuffle_epi8(lengths, _mm512_and_si512(above, splat(15)));
  const vec r = _mm512_max_epi16(low, _mm512_shuffle_epi8(high_lengths, _mm512_srli_epi16(above, 4)));
  const vec eh = _mm512_add_epi16(a->working, r);
  const __mmask32 kept = _mm512_cmpge_epi16_mask(eh, least) & _mm512_test_epi16_mask(magnitude, magnitude);
  *powers = _mm512_maskz_srlv_epi16(kept, splat(0x100), r);
  return _mm512_min_epi16(_mm512_mask_mov_epi16(least, kept, eh), splat(EXPONENT_MAX));
}

/* Codes of a channel's groups; read: their products with C, a lane of sums for each group. */
static inline void store_codes(vec read[QUADS], int8_t* codes, const struct halves sums[QUADS], vec powers, const struct halves c[QUADS],
                               const uint8_t* dither, int channel) {
  for (int quad = 0; quad < QUADS; quad++) {
    const struct halves d = load_split(dither + 2 * QUAD_VALUES * quad);
    const vec power = spread(powers, channel, quad);
    const vec low = _mm512_srai_epi16(_mm512_add_epi16(_mm512_mullo_epi16(sums[quad].low, power), d.low), 8);
    const vec high = _mm512_srai_epi16(_mm512_add_epi16(_mm512_mullo_epi16(sums[quad].high, power), d.high), 8);
    _mm512_storeu_si512(codes + QUAD_VALUES * quad, _mm512_packs_epi16(low, high));
    read[quad] = _mm512_dpwssd_epi32(_mm512_madd_epi16(low, c[quad].low), high, c[quad].high);
  }
}

/* Terms of two channels in Q12: clamp(rsh(sum, shift)); in FP32, exactly. */
static inline vec terms(vec sums, __m256i exponents) {
  const __m512 scale = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepi16_epi32(exponents), 23));
  const __m512 half = _mm512_set1_ps(0.5F), most = _mm512_set1_ps(TERM_LIMIT + 1);
  const __m512 scaled = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale), half);
  const __m512 rounded = _mm512_roundscale_ps(scaled, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  const vec limit = _mm512_set1_epi32(TERM_LIMIT), least = _mm512_set1_epi32(-TERM_LIMIT);
  return _mm512_max_epi32(_mm512_min_epi32(_mm512_cvttps_epi32(_mm512_min_ps(rounded, most)), limit), least);
}

/* y of four channels, of these groups: int32 [4]. */
static inline __m128i readout(const struct lm_scan* s, vec read[CHANNELS][QUADS], vec exponents) {
  vec m[4];
  for (int i = 0; i < 4; i++) m[i] = sum_of32(read[i][0], read[i][1]);
  /* Of two channels, [group mod 4][quad][channel] */
  const vec first = sum_of32(m[0], m[1]), second = sum_of32(m[2], m[3]);
#define PAIR(group) group, group + 8, group + 4, group + 12
  static const _Alignas(64) int16_t index[CHANNELS * GROUPS] = {PAIR(0),  PAIR(1),  PAIR(2),  PAIR(3),
                                                                PAIR(16), PAIR(17), PAIR(18), PAIR(19)};
  const vec bias = _mm512_add_epi16(exponents, splat(127 - s->read_shift));
  const vec bounded = _mm512_min_epi16(_mm512_max_epi16(bias, splat(27)), splat(151));
  const vec scales = _mm512_permutexvar_epi16(load(index), bounded);
  const vec low = terms(first, _mm512_castsi512_si256(scales));
  const vec high = terms(second, _mm512_extracti64x4_epi64(scales, 1));
  /* Lanes of both added in turn: [channel 0, 1, 0, 1] and [2, 3, 2, 3]. */
  const vec lanes = _mm512_add_epi32(_mm512_shuffle_i64x2(low, high, 0x44), _mm512_shuffle_i64x2(low, high, 0xee));
  const __m256i x = _mm512_castsi512_si256(lanes), y = _mm512_extracti64x4_epi64(lanes, 1);
  const __m128i x0 = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  const __m128i y0 = _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
  return _mm_add_epi32(_mm_unpacklo_epi64(x0, y0), _mm_unpackhi_epi64(x0, y0));
}

/* Byte offset, in any run, of what a channel takes from n on. */
static inline size_t dither_offset(const struct lm_scan* s, int channel, int n) {
  return (size_t)((DITHER_TOKEN * s->token + (uint32_t)(DITHER_CHANNEL * channel + n)) & 255) << 1;
}

void lm_scan_avx512(const struct lm_scan* s) {
  const size_t channel_codes = (size_t)s->groups * STATE_GROUP, channel_groups = (size_t)s->groups;
  for (int g = 0; g < s->groups; g += GROUPS) {
    const int n = g * STATE_GROUP;
    struct halves b[QUADS], c[QUADS];
    for (int quad = 0; quad < QUADS; quad++) {
      b[quad] = load_split(s->b + n + QUAD_VALUES * quad);
      c[quad] = load_split(s->c + n + QUAD_VALUES * quad);
    }
    for (int i = 0; i < s->channels; i += CHANNELS) {
      int8_t* codes = s->codes + (size_t)i * channel_codes + (size_t)n;
      int8_t* exponents = s->exponents + (size_t)i * channel_groups + (size_t)g;
      struct aligned a;
      struct halves sums[CHANNELS][QUADS];
      vec read[CHANNELS][QUADS], powers;
      align(&a, s, load_exponents(exponents, channel_groups));
      for (int k = 0; k < CHANNELS; k++) {
        const uint8_t* dither = s->shift_rows + dither_offset(s, s->first_channel + i + k, n);
        add_inputs(sums[k], &a, codes + (size_t)k * channel_codes, s->inputs[i + k], b, dither, k);
      }
      const vec scaled = scale(&powers, &a, magnitudes(sums));
      store_exponents(exponents, channel_groups, scaled);
      for (int k = 0; k < CHANNELS; k++) {
        const uint8_t* dither = s->code_dither + dither_offset(s, s->first_channel + i + k, n);
        store_codes(read[k], codes + (size_t)k * channel_codes, sums[k], powers, c, dither, k);
      }
      __m128i* out = (__m128i*)(s->out + i);
      const __m128i y = readout(s, read, scaled);
      _mm_storeu_si128(out, g == 0 ? y : _mm_add_epi32(_mm_loadu_si128(out), y));
    }
  }
}
