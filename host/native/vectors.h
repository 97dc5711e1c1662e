/*
 * Vectors of LANES lanes of 16 bytes: four with AVX-512 and VNNI, two with AVX2. Every operation here works within lanes, or says what it does across
 * them, so that the products are written once for both. Sizes of elements are in the names: 8, 16, 32 bits.
 */
#ifndef LM_VECTORS_H
#define LM_VECTORS_H

#include <immintrin.h>
#include <stdint.h>

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define LANES 4
typedef __m512i vec;
#define OP(name) _mm512_##name
#define BITS(name) _mm512_##name##_si512
#else
#define LANES 2
typedef __m256i vec;
#define OP(name) _mm256_##name
#define BITS(name) _mm256_##name##_si256
#endif

#define VECTOR_BYTES ((size_t)LANES * 16)

static inline vec load(const void* at) { return BITS(loadu)(at); }
static inline vec zero(void) { return BITS(setzero)(); }

/* 16 bytes in each lane; 4 bytes in each place. */
static inline vec repeat(__m128i x) {
#if LANES == 4
  return _mm512_broadcast_i32x4(x);
#else
  return _mm256_broadcastsi128_si256(x);
#endif
}

static inline vec repeat32(const void* at) {
  int32_t word;
  __builtin_memcpy(&word, at, 4);
  return OP(set1_epi32)(word);
}

static inline vec add16(vec x, vec y) { return OP(add_epi16)(x, y); }
static inline vec sub16(vec x, vec y) { return OP(sub_epi16)(x, y); }

/* (x · y + 2^14) >> 15. */
static inline vec mulr16(vec x, vec y) { return OP(mulhrs_epi16)(x, y); }

/* Bytes of x that the bytes of index name, in each lane; 128: 0. */
static inline vec choose8(vec x, vec index) { return OP(shuffle_epi8)(x, index); }

static inline vec unpack_low16(vec x, vec y) { return OP(unpacklo_epi16)(x, y); }
static inline vec unpack_high16(vec x, vec y) { return OP(unpackhi_epi16)(x, y); }

/* Pairs of u8 times i8, added: i16. */
static inline vec dot8(vec u, vec s) { return OP(maddubs_epi16)(u, s); }

/* sum + pairs of i16 times i16, added: i32. */
static inline vec dot16(vec sum, vec x, vec y) {
#if LANES == 4
  return _mm512_dpwssd_epi32(sum, x, y);
#else
  return _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
#endif
}

/* Low and high nibbles of bytes. */
static inline vec low_nibbles(vec x) { return BITS(and)(x, OP(set1_epi8)(15)); }
static inline vec high_nibbles(vec x) { return low_nibbles(OP(srli_epi16)(x, 4)); }

/* i16 pairs of the low halves of x and y. */
static inline vec pairs16(vec x, vec y) {
  const vec high = OP(slli_epi32)(y, 16);
#if LANES == 4
  return _mm512_mask_blend_epi16(0xaaaaaaaaU, x, high);
#else
  return _mm256_blend_epi16(x, high, 0xaa);
#endif
}

#endif
