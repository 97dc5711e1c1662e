/*
 * The loops of a token that a processor's widest vectors make faster than WebAssembly's 128 bits: calls.c and native.c bind them to the runtime
 * (assembly/native.ts), the others are compiled for the instructions that their functions name. They compute what the units of
 * assembly/units do, bit for bit (docs/numerics.md section 3).
 */
#ifndef LM_KERNELS_H
#define LM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Of functions that only fetch: GCC drops calls of one, since it returns nothing and writes nothing, unless it is inlined before anything else. */
#define LM_FETCH static inline __attribute__((always_inline)) void

/* Of a pass: PASS_TOKENS of assembly/pass.ts. */
#define LM_PASS_TOKENS 16

/* Of weights (docs/format.md), of a vector's records (assembly/units/codes.ts), of the state and its dither (assembly/units/dither.ts). */
enum {
  BLOCK_ROWS = 8,
  GROUP = 32,
  GROUP_CODE_BYTES = 128,
  FRAME_INPUTS = 256,
  RECORD_SCALES = 32,  /* u16 [2] */
  RECORD_OFFSETS = 36, /* i16 [2] */
  RECORD_BYTES = 40,
  ACTIVATION_GROUP = 16,
  A4_SCALE_SHIFT = 5, /* of a scale in a record */
  STATE_GROUP = 16,
  DITHER_PLACES = 256 + 8 * STATE_GROUP,
  DITHER_BYTES = 2 * DITHER_PLACES, /* u16 [2][DITHER_PLACES / 2]: those of even places, those of odd ones */
};

struct lm_product {
  int32_t* sums;            /* [blocks][tokens][8] */
  const uint8_t* frames;    /* [blocks][block], docs/format.md */
  const uint8_t* records[LM_PASS_TOKENS]; /* of each token: assembly/units/codes.ts, int8 codes */
  int tokens;
  int blocks;
  int inputs;               /* a multiple of 32 */
  int weight_group;         /* 16 or 32 */
  int grouped;              /* activations have a scale per 16 inputs */
};

/* Bytes of a frame's scales, and of a block. */
static inline size_t lm_scale_bytes(const struct lm_product* p) { return p->weight_group == 16 ? 128 : 64; }

static inline size_t lm_block_bytes(const struct lm_product* p) {
  const size_t frames = (size_t)(p->inputs + FRAME_INPUTS - 1) / FRAME_INPUTS;
  return frames * lm_scale_bytes(p) + (size_t)(p->inputs / GROUP) * GROUP_CODE_BYTES;
}

/* Sums of a product, scaled in place; of two planes those of the first: assembly/units/rows.ts. */
struct lm_rows {
  int32_t* sums;            /* [blocks][planes][tokens][8] */
  const int8_t* exponents;  /* [blocks][8] */
  const double* factors;    /* [blocks][tokens] */
  const int32_t* bias;      /* [blocks][8], or NULL */
  const int32_t* addends[LM_PASS_TOKENS]; /* of each token [blocks][8], or NULL */
  int tokens;
  int blocks;
  int planes;
};

/* Channels of a head at most: their squares add up exactly. */
#define LM_HEAD_CHANNELS 128

/* Causal depthwise convolution and SiLU in place; the raw values go into the ring of taps. Q11 before SiLU. */
struct lm_convolution {
  int16_t* values;          /* [channels] */
  int16_t* taps;            /* [width - 1][row], the oldest one at `slot` */
  const int16_t* weights;   /* [width][row] */
  const int32_t* bias;      /* [channels] */
  const int32_t* silu;      /* i16 [256][2]: entries of the table, and how far it is to the next */
  size_t row;
  int channels;             /* a multiple of 16 */
  int width;
  int slot;
  int shift;                /* to Q11: 0…31 */
  int fraction;             /* after SiLU: 0…16 */
};

/* What the channels of a head share in one token: HeadStep of assembly/units/ssmu-groups.ts. */
struct lm_scan {
  int8_t* codes;            /* [channels][groups][16] */
  int8_t* exponents;        /* [channels][groups] */
  const int32_t* inputs;    /* [channels], dt·x */
  int32_t* out;             /* [channels] */
  const int16_t* b;         /* [groups][16], values of int8 */
  const int16_t* c;         /* [groups][16], likewise */
  const uint16_t* code_dither;  /* d1: assembly/units/dither.ts, CODE_DITHER_HALVES */
  const uint16_t* input_dither; /* 256 · d2: INPUT_DITHER_HALVES */
  int channels;             /* a multiple of 4 */
  int groups;               /* a multiple of 8 */
  int first_channel;
  uint32_t token;
  int halvings;
  int exponent;
  int read_shift;
};

/* y · SiLU(z), 24 bits, and where there is gamma times that, 18 bits. */
struct lm_gate {
  const int32_t* y;         /* [channels] */
  const int16_t* z;         /* [channels] */
  const int16_t* gamma;     /* [channels], or NULL */
  int32_t* out;             /* [channels] */
  const int32_t* silu;
  int channels;             /* a multiple of 16, at most LM_HEAD_CHANNELS */
  int z_shift;              /* to Q11: -15…31 */
  int z_fraction;           /* after SiLU: 0…16 */
  double scale;             /* powers of two */
  double gamma_scale;
};

/* Of a vector that is quantized, and of a Hadamard matrix: what there is room for on a stack. */
#define LM_MOST_GROUPS 4096
#define LM_MOST_ORDER 64

/* For AVX2, and for AVX-512 with VNNI: calls.c says which are used with which. */
void lm_gemv_avx2(const struct lm_product* product);
void lm_gemm_avx2(const struct lm_product* product);
void lm_gemm_avx512(const struct lm_product* product);
void lm_scale_rows_avx2(const struct lm_rows* rows);
/* Codes of 4 or 8 bits of groups of 16 values: their exponent, their records (assembly/units/codes.ts), and the sum of squares. */
uint64_t lm_quantize_a4_avx512(int32_t* exponent, uint8_t* records, const int32_t* values, int groups);
uint64_t lm_quantize_a8_avx512(int32_t* exponent, uint8_t* records, const int32_t* values, int groups);
/* In place on w [blocks][m][length], length a power of two from 16 on; signs [m][m]. */
void lm_transform_avx512(int32_t* w, int blocks, int m, int length, const int8_t* signs);
void lm_convolve_avx512(const struct lm_convolution* convolution);
/* products i32 [channels] = mantissa · x, then as many bits less as make int8 of the largest: that many. */
int lm_scale_input_avx512(int32_t* products, const int16_t* x, int32_t mantissa, int channels);
void lm_scan_avx512(const struct lm_scan* scan);
/* y i32 [channels] = y · fade + x · skip, each rounded. */
void lm_read_head_avx512(int32_t* y, const int16_t* x, double fade, double skip, int channels);
/* The sum of the squares of 24 bits. */
uint64_t lm_gate_avx512(const struct lm_gate* gate);

#endif
