/*
 * The product for several tokens: weights are unpacked once for all of them, to four inputs of a row in each 32 bits, which meet 32 bits of a token's codes,
 * repeated. Compiled for AVX2 and for AVX-512 with VNNI.
 */
#include "frames.h"

/* A vector has 4 · LANES rows: those of one block with AVX2, of two with AVX-512. */
#define VECTOR_BLOCKS (LANES / 2)

/* A frame of VECTOR_BLOCKS blocks: 8 vectors of codes for each group, then its scales as pairs. */
struct unpacked {
  vec codes[FRAME_GROUPS][8];
  vec scales[FRAME_GROUPS];
};

/*
 * 16 inputs of VECTOR_BLOCKS blocks, four bytes a row: out[v] has inputs 4v…4v + 3 of all rows. What lies in a block's lane v goes to vector v.
 */
static inline void four_inputs(const uint8_t* const w[2], vec out[4]) {
#if LANES == 4
  vec rows[4];
  for (int b = 0; b < 2; b++) {
    const vec x = load(w[b]);
    rows[2 * b] = unpack_low16(low_nibbles(x), high_nibbles(x));
    rows[2 * b + 1] = unpack_high16(low_nibbles(x), high_nibbles(x));
  }
  const vec a01 = _mm512_shuffle_i32x4(rows[0], rows[1], 0x44), a23 = _mm512_shuffle_i32x4(rows[0], rows[1], 0xee);
  const vec b01 = _mm512_shuffle_i32x4(rows[2], rows[3], 0x44), b23 = _mm512_shuffle_i32x4(rows[2], rows[3], 0xee);
  out[0] = _mm512_shuffle_i32x4(a01, b01, 0x88);
  out[1] = _mm512_shuffle_i32x4(a01, b01, 0xdd);
  out[2] = _mm512_shuffle_i32x4(a23, b23, 0x88);
  out[3] = _mm512_shuffle_i32x4(a23, b23, 0xdd);
#else
  for (int v = 0; v < 4; v += 2) {
    const vec x = load(w[0] + 16 * v);
    const vec low = unpack_low16(low_nibbles(x), high_nibbles(x)), high = unpack_high16(low_nibbles(x), high_nibbles(x));
    out[v] = _mm256_permute2x128_si256(low, high, 0x20);
    out[v + 1] = _mm256_permute2x128_si256(low, high, 0x31);
  }
#endif
}

/* 16 bytes of either block, in the lanes of its rows. */
static inline vec repeat_pairs(const uint8_t* const frame[2], size_t at) {
  const __m256i first = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)(frame[0] + at)));
#if LANES == 4
  const __m256i second = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)(frame[1] + at)));
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
#else
  return first;
#endif
}

/* frame: of either block, the same where there is only one; index: scale_index. */
static void unpack(struct unpacked* out, const struct lm_product* p, const uint8_t* const frame[2], int groups, vec index) {
  const size_t scales = lm_scale_bytes(p), step = scale_step(p);
  for (int g = 0; g < groups; g++) {
    for (int half = 0; half < 2; half++) {
      const size_t at = scales + (size_t)g * GROUP_CODE_BYTES + (size_t)half * 64;
      const uint8_t* const w[2] = {frame[0] + at, frame[1] + at};
      four_inputs(w, out->codes[g] + 4 * half);
    }
    out->scales[g] = choose8(repeat_pairs(frame, (size_t)g * step), index);
  }
}

/* Σ of 16 inputs times rows; codes at a. */
static inline vec dot_rows(const vec w[4], const uint8_t* a) {
#if LANES == 4
  vec sum = zero();
  for (int v = 0; v < 4; v++) sum = _mm512_dpbusd_epi32(sum, w[v], repeat32(a + 4 * v));
  return sum;
#else
  vec sum = dot8(w[0], repeat32(a));
  for (int v = 1; v < 4; v++) sum = add16(sum, dot8(w[v], repeat32(a + 4 * v)));
  return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
#endif
}

/* Two blocks in turn are no stream that a processor follows by itself. */
LM_FETCH fetch(const uint8_t* at, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) _mm_prefetch((const char*)at + line, _MM_HINT_T0);
}

/* Of one block, in either half of a vector. */
static inline vec load_sums(int32_t* const at[2]) {
  const __m256i first = _mm256_loadu_si256((const __m256i*)at[0]);
#if LANES == 4
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), _mm256_loadu_si256((const __m256i*)at[1]), 1);
#else
  return first;
#endif
}

static inline void store_sums(int32_t* const at[2], vec sums) {
#if LANES == 4
  _mm256_storeu_si256((__m256i*)at[1], _mm512_extracti64x4_epi64(sums, 1));
  _mm256_storeu_si256((__m256i*)at[0], _mm512_castsi512_si256(sums));
#else
  _mm256_storeu_si256((__m256i*)at[0], sums);
#endif
}

/* `count` tokens from `token` on times a frame, added to their sums; record: bytes from a token's first record. */
static inline __attribute__((always_inline)) void gemm_tokens(const struct lm_product* p, const struct unpacked* w, int32_t* const rows[2],
                                                              int token, const int count, size_t record, int groups, const int grouped) {
  vec sums[4];
  int32_t* at[4][2];
  const uint8_t* a[4];
  for (int t = 0; t < count; t++) {
    for (int b = 0; b < 2; b++) at[t][b] = rows[b] + (size_t)(token + t) * BLOCK_ROWS;
    a[t] = p->records[token + t] + record;
    sums[t] = record == 0 ? zero() : load_sums(at[t]);
  }
  for (int g = 0; g < groups; g++) {
    const size_t r = (size_t)g * RECORD_BYTES;
    for (int t = 0; t < count; t++) {
      const uint8_t* x = a[t] + r;
      const vec dots = pairs16(dot_rows(w->codes[g], x), dot_rows(w->codes[g] + 4, x + 16));
      const vec scales = factors(w->scales[g], repeat32(x + RECORD_SCALES), grouped);
      sums[t] = dot16(sums[t], sub16(dots, repeat32(x + RECORD_OFFSETS)), scales);
    }
  }
  for (int t = 0; t < count; t++) store_sums(at[t], sums[t]);
}

static inline __attribute__((always_inline)) void gemm(const struct lm_product* p, const int grouped) {
  struct unpacked w;
  const vec index = scale_index(p->weight_group, 0, 1);
  int32_t unused[LM_PASS_TOKENS * BLOCK_ROWS];
  const size_t bytes = lm_block_bytes(p), frame_bytes = lm_scale_bytes(p) + FRAME_GROUPS * GROUP_CODE_BYTES;
  const size_t row = (size_t)p->tokens * BLOCK_ROWS;
  for (int block = 0; block < p->blocks; block += VECTOR_BLOCKS) {
    const int alone = block + 1 == p->blocks;
    int32_t* const sums = p->sums + (size_t)block * row;
    int32_t* const rows[2] = {sums, VECTOR_BLOCKS == 1 || alone ? unused : sums + row};
    const uint8_t* first = p->frames + (size_t)block * bytes;
    const uint8_t* frame[2] = {first, VECTOR_BLOCKS == 1 || alone ? first : first + bytes};
    size_t record = 0;
    for (int left = p->inputs; left > 0; left -= FRAME_INPUTS) {
      const int groups = smaller(left, FRAME_INPUTS) / GROUP;
      unpack(&w, p, frame, groups, index);
      for (int b = 0; b < VECTOR_BLOCKS; b++) fetch(frame[b] + frame_bytes, frame_bytes);
      int token = 0;
      for (; token + 4 <= p->tokens; token += 4) gemm_tokens(p, &w, rows, token, 4, record, groups, grouped);
      for (; token < p->tokens; token++) gemm_tokens(p, &w, rows, token, 1, record, groups, grouped);
      for (int b = 0; b < 2; b++) frame[b] += frame_bytes;
      record += (size_t)groups * RECORD_BYTES;
    }
  }
}

#if LANES == 4
void lm_gemm_avx512(const struct lm_product* product) {
#else
void lm_gemm_avx2(const struct lm_product* product) {
#endif
  if (product->grouped) gemm(product, 1);
  else gemm(product, 0);
}
