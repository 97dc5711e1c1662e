/*
 * SSMU: update and readout of a head's int8 state (docs/numerics.md section 3.3), for AVX-512. Steps and terms are those of
 * assembly/units/ssmu-groups.ts, which says why each of them is right.
 *
 * Four channels of eight groups of 16 values at a time. What a group has one of is a place of a vector of int16, [channel][group]. A channel's values are
 * two quads of groups, a lane of 16 bytes for each group as its codes lie in memory, and each quad is two vectors of int16: the values of even places, which
 * are the low bytes, and those of odd ones. So codes become int16 and int16 codes without moving anything, by a shift and a mask.
 *
 * What bounds it is the number of instructions, some twelve for a group; so a step that waits for its own results is followed by one that needs none of them.
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
  MOST_SHIFT = 8, /* of an input in one step */
  /* assembly/units/dither.ts */
  DITHER_TOKEN = 163,
  DITHER_CHANNEL = 75,
  TERM_LIMIT = 0x3ffffff,
  /* Bytes: by itself a processor fetches to the end of a page of 4 KiB, which is half a head. */
  CODES_AHEAD = 2048,
  EXPONENTS_AHEAD = 512,
};

typedef __m512i vec;

static inline vec splat(int value) { return _mm512_set1_epi16((int16_t)value); }
static inline vec load(const void* at) { return _mm512_loadu_si512(at); }

/* Of all groups: how state and input come to one exponent. */
struct aligned {
  vec working;       /* exponent of the sums */
  vec state_powers;  /* 2^(14 - sa), 0 where the state has faded */
  vec input_powers;  /* -2^(15 - s) */
  vec dither_powers; /* 2^(s + 1) */
  vec coarse_powers; /* -2^(15 - (s - 8)), for what is shifted by more than 8 */
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
  const vec least = splat(EXPONENT_MIN), zero = _mm512_setzero_si512();
  const vec fresh = _mm512_sub_epi16(exponents, splat(s->halvings));
  const vec eh = _mm512_max_epi16(fresh, least);
  out->working = _mm512_max_epi16(_mm512_sub_epi16(eh, splat(7)), splat(s->exponent));
  const vec u = _mm512_sub_epi16(eh, splat(s->exponent + 7)); /* > 0: the input is shifted by u, else the state by -u */
  const __mmask32 lives = _mm512_cmpge_epi16_mask(fresh, least);
  const vec state_shift = _mm512_max_epi16(_mm512_sub_epi16(zero, u), zero);
  const vec input_shift = _mm512_min_epi16(_mm512_max_epi16(u, zero), splat(MOST_SHIFT));
  const vec beyond = _mm512_sub_epi16(u, splat(MOST_SHIFT));
  out->state_powers = _mm512_maskz_srlv_epi16(lives, splat(0x4000), state_shift);
  out->input_powers = _mm512_sllv_epi16(splat(-1), _mm512_sub_epi16(splat(15), input_shift));
  out->dither_powers = _mm512_sllv_epi16(splat(2), input_shift);
  out->coarse_powers = _mm512_sllv_epi16(splat(-1), _mm512_sub_epi16(splat(15), _mm512_max_epi16(beyond, zero)));
}

/* Four places, eight times each. */
#define EIGHT(n) n, n, n, n, n, n, n, n
#define QUAD(n) {EIGHT(n), EIGHT(n + 1), EIGHT(n + 2), EIGHT(n + 3)}
static const _Alignas(64) int16_t quads[CHANNELS][QUADS][32] = {
    {QUAD(0), QUAD(4)}, {QUAD(8), QUAD(12)}, {QUAD(16), QUAD(20)}, {QUAD(24), QUAD(28)}};

/* What the groups of a quad have one of, for each of their values. */
static inline vec spread(vec places, int channel, int quad) { return _mm512_permutexvar_epi16(load(quads[channel][quad]), places); }

/* 64 values of four groups, those of even places and those of odd ones: int16, in the order of their bytes. */
struct halves {
  vec even, odd;
};

/* Of bytes, times 256. */
static inline struct halves high_halves(vec bytes) {
  return (struct halves){_mm512_slli_epi16(bytes, 8), _mm512_and_si512(bytes, splat(-256))};
}

/* Of B or C of int16 with the values of int8. */
static inline vec load_bytes(const int16_t* at) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(load(at))), _mm512_cvtepi16_epi8(load(at + 32)), 1);
}

static inline struct halves times(struct halves x, vec y) {
  return (struct halves){_mm512_mullo_epi16(x.even, y), _mm512_mullo_epi16(x.odd, y)};
}

/* How far the inputs of a head are shifted: not at all, by up to MOST_SHIFT, by more. */
enum { NONE, FINE, COARSE };

/* Dither from a place on: that of even values, and that of odd ones. */
struct run {
  const uint16_t *even, *odd;
};

/* places: u16 [2][DITHER_PLACES / 2], the even ones and the odd ones, so that every other one from any place on is a run. */
static inline struct run run_from(const uint16_t* places, size_t place) {
  const size_t odd = DITHER_PLACES / 2, next = place + 1;
  return (struct run){places + (place & 1) * odd + place / 2, places + (next & 1) * odd + next / 2};
}

static inline struct halves load_run(struct run run, int quad) {
  return (struct halves){load(run.even + QUAD_VALUES / 2 * quad), load(run.odd + QUAD_VALUES / 2 * quad)};
}

/* a + b of a channel's groups. */
static inline void add_inputs(struct halves out[QUADS], const struct aligned* a, const int8_t* codes, int32_t input, const struct halves b[QUADS],
                              struct run dither, int channel, const int shifts) {
  for (int quad = 0; quad < QUADS; quad++) {
    struct halves x = times(b[quad], splat(shifts == NONE ? input : shifts == FINE ? -2 * input : -input));
    if (shifts == COARSE) {
      const vec power = spread(a->coarse_powers, channel, quad), two = splat(-2);
      x = times((struct halves){_mm512_mulhrs_epi16(x.even, power), _mm512_mulhrs_epi16(x.odd, power)}, two);
    }
    if (shifts != NONE) {
      const struct halves d = load_run(dither, quad);
      const vec dithers = spread(a->dither_powers, channel, quad), inputs = spread(a->input_powers, channel, quad);
      x.even = _mm512_mulhi_epi16(_mm512_sub_epi16(x.even, _mm512_mulhi_epu16(d.even, dithers)), inputs);
      x.odd = _mm512_mulhi_epi16(_mm512_sub_epi16(x.odd, _mm512_mulhi_epu16(d.odd, dithers)), inputs);
    }
    const struct halves h = high_halves(load(codes + QUAD_VALUES * quad));
    const vec states = spread(a->state_powers, channel, quad);
    out[quad].even = _mm512_add_epi16(_mm512_mulhrs_epi16(h.even, states), x.even);
    out[quad].odd = _mm512_add_epi16(_mm512_mulhrs_epi16(h.odd, states), x.odd);
  }
}

static inline vec max_of16(vec x, vec y) { return _mm512_max_epi16(_mm512_unpacklo_epi16(x, y), _mm512_unpackhi_epi16(x, y)); }
static inline vec sum_of32(vec x, vec y) { return _mm512_add_epi32(_mm512_unpacklo_epi32(x, y), _mm512_unpackhi_epi32(x, y)); }

/* Largest magnitude of each group. */
static inline vec magnitudes(struct halves sums[CHANNELS][QUADS]) {
  vec m[8]; /* [channel][quad]: a lane for each group */
  for (int i = 0; i < 8; i++) {
    const struct halves x = sums[i / QUADS][i % QUADS];
    m[i] = _mm512_max_epi16(_mm512_abs_epi16(x.even), _mm512_abs_epi16(x.odd));
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

/* C: int8, and what it lacks if codes are taken for 128 more than they are. */
struct readers {
  vec codes, bias;
};

/* Codes of a channel's groups; read: their products with C, a lane of sums for each group. */
static inline void store_codes(vec read[QUADS], int8_t* codes, const struct halves sums[QUADS], vec powers, const struct readers c[QUADS],
                               struct run dither, int channel) {
  const vec high = splat(-256);
  for (int quad = 0; quad < QUADS; quad++) {
    const struct halves d = load_run(dither, quad);
    const struct halves scaled = times(sums[quad], spread(powers, channel, quad));
    const vec even = _mm512_srli_epi16(_mm512_add_epi16(scaled.even, d.even), 8);
    const vec odd = _mm512_add_epi16(scaled.odd, d.odd);
    const vec h = _mm512_ternarylogic_epi32(even, odd, high, 0xf8); /* even | odd & high */
    _mm512_storeu_si512(codes + QUAD_VALUES * quad, h);
    read[quad] = _mm512_dpbusd_epi32(c[quad].bias, _mm512_xor_si512(h, _mm512_set1_epi8(-128)), c[quad].codes);
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

/* Readout of a block that is still to be scaled and added. */
struct pending {
  vec sums[2]; /* of two channels each: [group mod 4][quad][channel] */
  vec exponents;
};

static inline void gather_readout(struct pending* out, vec read[CHANNELS][QUADS], vec exponents) {
  vec m[CHANNELS];
  for (int i = 0; i < CHANNELS; i++) m[i] = sum_of32(read[i][0], read[i][1]);
  out->sums[0] = sum_of32(m[0], m[1]);
  out->sums[1] = sum_of32(m[2], m[3]);
  out->exponents = exponents;
}

/* y of four channels, of these groups: int32 [4]. */
static inline __m128i readout(const struct lm_scan* s, const struct pending* p) {
#define PAIR(group) group, group + 8, group + 4, group + 12
  static const _Alignas(64) int16_t index[CHANNELS * GROUPS] = {PAIR(0),  PAIR(1),  PAIR(2),  PAIR(3),
                                                                PAIR(16), PAIR(17), PAIR(18), PAIR(19)};
  const vec bias = _mm512_add_epi16(p->exponents, splat(127 - s->read_shift));
  const vec bounded = _mm512_min_epi16(_mm512_max_epi16(bias, splat(27)), splat(151));
  const vec scales = _mm512_permutexvar_epi16(load(index), bounded);
  const vec low = terms(p->sums[0], _mm512_castsi512_si256(scales));
  const vec high = terms(p->sums[1], _mm512_extracti64x4_epi64(scales, 1));
  /* Lanes of both added in turn: [channel 0, 1, 0, 1] and [2, 3, 2, 3]. */
  const vec lanes = _mm512_add_epi32(_mm512_shuffle_i64x2(low, high, 0x44), _mm512_shuffle_i64x2(low, high, 0xee));
  const __m256i x = _mm512_castsi512_si256(lanes), y = _mm512_extracti64x4_epi64(lanes, 1);
  const __m128i x0 = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  const __m128i y0 = _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
  return _mm_add_epi32(_mm_unpacklo_epi64(x0, y0), _mm_unpackhi_epi64(x0, y0));
}

/* Place of the dither for value n of a channel. */
static inline size_t dither_place(const struct lm_scan* s, int channel, int n) {
  return (DITHER_TOKEN * s->token + (uint32_t)(DITHER_CHANNEL * channel + n)) & 255;
}

static inline void add_readout(const struct lm_scan* s, const struct pending* p, int channel, int group) {
  __m128i* out = (__m128i*)(s->out + channel);
  const __m128i y = readout(s, p);
  _mm_storeu_si128(out, group == 0 ? y : _mm_add_epi32(_mm_loadu_si128(out), y));
}

/* A bound for all of a head, which is known before its first channel. */
static int shifts_of(const struct lm_scan* s) {
  const size_t count = (size_t)s->channels * (size_t)s->groups;
  __m256i most = _mm256_set1_epi8(EXPONENT_MIN);
  for (size_t i = 0; i < count; i += 32) most = _mm256_max_epi8(most, _mm256_loadu_si256((const __m256i*)(s->exponents + i)));
  const __m128i half = _mm_max_epi8(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  const int largest = _mm512_reduce_max_epi32(_mm512_cvtepi8_epi32(half));
  const int most_shift = largest - s->halvings - s->exponent - 7;
  return most_shift <= 0 ? NONE : most_shift <= MOST_SHIFT ? FINE : COARSE;
}

/* B and C of a block. */
struct vectors {
  struct halves b[QUADS];
  struct readers c[QUADS];
};

static inline void load_vectors(struct vectors* out, const struct lm_scan* s, int n) {
  const vec zero = _mm512_setzero_si512(), sign = _mm512_set1_epi8(-128);
  for (int quad = 0; quad < QUADS; quad++) {
    const int at = n + QUAD_VALUES * quad;
    const struct halves b = high_halves(load_bytes(s->b + at));
    out->b[quad] = (struct halves){_mm512_srai_epi16(b.even, 8), _mm512_srai_epi16(b.odd, 8)};
    const vec c = load_bytes(s->c + at);
    out->c[quad] = (struct readers){c, _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, sign, c))};
  }
}

LM_FETCH fetch_ahead(const int8_t* codes, const int8_t* exponents) {
  for (int line = 0; line < CHANNELS * BLOCK; line += 64) _mm_prefetch((const char*)codes + CODES_AHEAD + line, _MM_HINT_T0);
  _mm_prefetch((const char*)exponents + EXPONENTS_AHEAD, _MM_HINT_T0);
}

static inline __attribute__((always_inline)) void scan(const struct lm_scan* s, const int shifts) {
  const size_t channel_codes = (size_t)s->groups * STATE_GROUP, channel_groups = (size_t)s->groups;
  for (int g = 0; g < s->groups; g += GROUPS) {
    const int n = g * STATE_GROUP;
    struct vectors v;
    struct aligned a;
    struct pending p = {0};
    int8_t* codes = s->codes + n;
    int8_t* exponents = s->exponents + g;
    load_vectors(&v, s, n);
    align(&a, s, load_exponents(exponents, channel_groups));
    for (int i = 0; i < s->channels; i += CHANNELS) {
      struct halves sums[CHANNELS][QUADS];
      vec read[CHANNELS][QUADS], powers;
      const size_t place = dither_place(s, s->first_channel + i, n);
      fetch_ahead(codes, exponents);
#pragma GCC unroll 4
      for (int k = 0; k < CHANNELS; k++) {
        const struct run dither = run_from(s->input_dither, (place + DITHER_CHANNEL * k) & 255);
        add_inputs(sums[k], &a, codes + (size_t)k * channel_codes, s->inputs[i + k], v.b, dither, k, shifts);
      }
      const vec scaled = scale(&powers, &a, magnitudes(sums));
      /* The last block's readout and the next one's exponents, while this one's powers are on their way. */
      if (i > 0) add_readout(s, &p, i - CHANNELS, g);
      int8_t* const here = exponents;
      exponents += CHANNELS * channel_groups;
      if (i + CHANNELS < s->channels) align(&a, s, load_exponents(exponents, channel_groups));
      store_exponents(here, channel_groups, scaled);
#pragma GCC unroll 4
      for (int k = 0; k < CHANNELS; k++) {
        const struct run dither = run_from(s->code_dither, (place + DITHER_CHANNEL * k) & 255);
        store_codes(read[k], codes + (size_t)k * channel_codes, sums[k], powers, v.c, dither, k);
      }
      codes += CHANNELS * channel_codes;
      gather_readout(&p, read, scaled);
    }
    add_readout(s, &p, s->channels - CHANNELS, g);
  }
}

void lm_scan_avx512(const struct lm_scan* s) {
  switch (shifts_of(s)) {
    case NONE: scan(s, NONE); break;
    case FINE: scan(s, FINE); break;
    default: scan(s, COARSE);
  }
}
