/*
 * The loops of a token that a processor's widest vectors make faster than WebAssembly's 128 bits: native.c binds them to the runtime
 * (assembly/native.ts), the others are compiled for the instructions that their functions name. They compute what assembly/units/mmu.ts, rows.ts and
 * ssmu-scan.ts do, bit for bit (docs/numerics.md section 3).
 */
#ifndef LM_KERNELS_H
#define LM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

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
  STATE_GROUP = 16,
  DITHER_BYTES = 2 * (256 + 8 * STATE_GROUP), /* of a run: CODE_DITHER, and behind the powers of each row of SHIFT_ROWS */
  SHIFT_ROWS = 24,
  SHIFT_ROW_POWERS = 32,
  SHIFT_ROW_BYTES = SHIFT_ROW_POWERS + DITHER_BYTES,
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

/* What the channels of a head share in one token: HeadStep of assembly/units/ssmu-groups.ts. */
struct lm_scan {
  int8_t* codes;            /* [channels][groups][16] */
  int8_t* exponents;        /* [channels][groups] */
  const int32_t* inputs;    /* [channels], dt·x */
  int32_t* out;             /* [channels] */
  const int16_t* b;         /* [groups][16] */
  const int16_t* c;         /* [groups][16] */
  const uint8_t* code_dither; /* assembly/units/dither.ts: CODE_DITHER, SHIFT_ROWS */
  const uint8_t* shift_rows;
  int channels;             /* a multiple of 4 */
  int groups;               /* a multiple of 8 */
  int first_channel;
  uint32_t token;
  int halvings;
  int exponent;
  int read_shift;
};

/* For AVX2, and for AVX-512 with VNNI: native.c says what is fastest with which. */
void lm_gemv_avx2(const struct lm_product* product);
void lm_gemm_avx2(const struct lm_product* product);
void lm_gemm_avx512(const struct lm_product* product);
void lm_scale_rows_avx2(const struct lm_rows* rows);
void lm_scan_avx512(const struct lm_scan* scan);

#endif
