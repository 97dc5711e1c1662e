/*
 * The product for one token: as fast as memory, for which AVX2 is enough (one core reads 30 GB/s; AVX-512 was slower, 26 against 29). The two lanes of a
 * vector are two vectors of a group, so weights are used as they lie, front to back: with two blocks in turn memory gives a third.
 */
#include "frames.h"

enum { VECTORS = 2 }; /* of 16 inputs */

/* How a lane takes two codes for each of 8 rows out of 16: for low nibbles inputs 4v and 4v + 1, for high ones the next two. */
static vec code_index(int vector, int high) {
  uint8_t index[sizeof(vec)];
  for (int i = 0; i < (int)sizeof(vec); i++) index[i] = (uint8_t)(4 * (vector + i / 16) + 2 * high + (i & 1));
  return load(index);
}

/* Words of 32 bits in lane 0, zeros in the other. */
static inline vec first_lane32(const void* at) {
  int32_t word;
  __builtin_memcpy(&word, at, sizeof word);
  return _mm256_zextsi128_si256(_mm_set1_epi32(word));
}

static inline __m128i sum_lanes32(vec x) { return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)); }

/* Σ of 16 inputs times 8 rows, in as many parts as there are lanes: weights at w, codes at a, each lane with those of its own inputs. */
static inline vec sixteen(const uint8_t* w, const uint8_t* a, vec index[VECTORS][2]) {
  const vec codes = repeat(_mm_loadu_si128((const __m128i*)a));
  vec sum = zero();
  for (int i = 0; i < VECTORS; i++) {
    const vec x = load(w + (size_t)i * VECTOR_BYTES);
    sum = add16(sum, dot8(low_nibbles(x), choose8(codes, index[i][0])));
    sum = add16(sum, dot8(high_nibbles(x), choose8(codes, index[i][1])));
  }
  return sum;
}

static inline __attribute__((always_inline)) void gemv(const struct lm_product* p, const int grouped) {
  vec index[VECTORS][2];
  for (int i = 0; i < VECTORS; i++)
    for (int high = 0; high < 2; high++) index[i][high] = code_index(i * LANES, high);
  const vec first = scale_index(p->weight_group, 0, 0), second = scale_index(p->weight_group, 4, 0);
  const size_t scales = lm_scale_bytes(p), step = scale_step(p);
  const uint8_t* w = p->frames;
  for (int block = 0; block < p->blocks; block++) {
    vec low = zero(), high = zero();
    const uint8_t* a = p->records[0];
    for (int left = p->inputs; left > 0; left -= FRAME_INPUTS) {
      const uint8_t* sw = w;
      w += scales;
      for (int g = smaller(left, FRAME_INPUTS) / GROUP; g > 0; g--) {
        const vec d0 = sixteen(w, a, index), d1 = sixteen(w + 64, a + 16, index);
        const vec offset = first_lane32(a + RECORD_OFFSETS), sa = repeat32(a + RECORD_SCALES);
        const vec s = repeat(_mm_loadu_si128((const __m128i*)sw));
        low = dot16(low, sub16(unpack_low16(d0, d1), offset), factors(choose8(s, first), sa, grouped));
        high = dot16(high, sub16(unpack_high16(d0, d1), offset), factors(choose8(s, second), sa, grouped));
        sw += step;
        w += GROUP_CODE_BYTES;
        a += RECORD_BYTES;
      }
    }
    __m128i* out = (__m128i*)(p->sums + (size_t)block * BLOCK_ROWS);
    _mm_storeu_si128(out, sum_lanes32(low));
    _mm_storeu_si128(out + 1, sum_lanes32(high));
  }
}

void lm_gemv_avx2(const struct lm_product* product) {
  if (product->grouped) gemv(product, 1);
  else gemv(product, 0);
}
