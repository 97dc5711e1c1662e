/*
 * The calls of the add-on: what they are given is checked against the size of linear memory, where a mistake in WebAssembly would only trap, and handed
 * to the kernels as pointers.
 */
#include "calls.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum {
  /* Codes of assembly/units/codes.ts: k, bits, exponent, sum, records */
  CODES_BITS = 4,
  CODES_EXPONENT = 8,
  CODES_SUM = 16,
  CODES_RECORDS = 24,
  CODES_BYTES = 28,
  MOST_INPUTS = LM_MOST_GROUPS * ACTIVATION_GROUP,
  MOST_BLOCKS = 1 << 20,
  MOST_LOG2 = 20,
  MOST_CHANNELS = 1 << 20,
  MOST_GROUPS = 1 << 12,
  MOST_HEADS = 1 << 12,
  MOST_STEPS = 1 << 12,
  MOST_TAPS = 64,
  SILU_BYTES = 1024,
  LARGEST_EXPONENT = 1000,
};

static void (*gemm)(const struct lm_product*);
static bool has_avx512; /* for everything else than products: with less, WebAssembly does it */

const char* lm_choose_kernels(void) {
  const char* wanted = getenv("LIGHTMAMBA_ISA");
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || (wanted != NULL && strcmp(wanted, "none") == 0)) return NULL;
  gemm = lm_gemm_avx2;
  if (wanted != NULL && strcmp(wanted, "avx2") == 0) return "avx2";
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vnni")) return "avx2";
  gemm = lm_gemm_avx512;
  has_avx512 = true;
  return "avx512";
}

static void* range(struct lm_memory* m, uint32_t at, uint64_t bytes) {
  if (at + bytes > m->bytes) m->wrong = "an address is outside of linear memory";
  return m->base + at;
}

/* NULL for address 0. */
static void* optional_range(struct lm_memory* m, uint32_t at, uint64_t bytes) { return at == 0 ? NULL : range(m, at, bytes); }

/* Copies a structure of linear memory. */
static bool take(struct lm_memory* m, void* to, uint32_t at, size_t bytes) {
  const void* from = range(m, at, bytes);
  if (m->wrong != NULL) return false;
  memcpy(to, from, bytes);
  return true;
}

static uint32_t word(const uint8_t* at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static void within(struct lm_memory* m, uint32_t value, uint32_t least, uint32_t most) {
  if (value < least || value > most) m->wrong = "a size is wrong";
}

static bool fits(int32_t value, int32_t least, int32_t most) { return value >= least && value <= most; }

/* A product from what a call says of it: false where that is wrong. */
static bool product(struct lm_memory* m, struct lm_product* p, uint32_t sums, uint32_t frames, uint32_t codes_at, uint32_t tokens, uint32_t blocks,
                    uint32_t weight_group) {
  within(m, tokens, 1, LM_PASS_TOKENS);
  within(m, blocks, 1, MOST_BLOCKS);
  if (weight_group != 16 && weight_group != GROUP) m->wrong = "a size is wrong";
  if (m->wrong != NULL) return false;
  const uint8_t* codes = range(m, codes_at, (uint64_t)tokens * CODES_BYTES);
  if (m->wrong != NULL) return false;
  const uint32_t inputs = word(codes);
  within(m, inputs, GROUP, MOST_INPUTS);
  if (inputs % GROUP != 0) m->wrong = "a size is wrong";
  if (m->wrong != NULL) return false;
  p->tokens = (int)tokens;
  p->blocks = (int)blocks;
  p->inputs = (int)inputs;
  p->weight_group = (int)weight_group;
  p->grouped = word(codes + CODES_BITS) != 8;
  p->sums = range(m, sums, (uint64_t)blocks * tokens * BLOCK_ROWS * sizeof(int32_t));
  p->frames = range(m, frames, blocks * lm_block_bytes(p));
  for (uint32_t t = 0; t < tokens; t++) {
    p->records[t] = range(m, word(codes + t * CODES_BYTES + CODES_RECORDS), (uint64_t)(inputs / GROUP) * RECORD_BYTES);
  }
  return m->wrong == NULL;
}

/* values, frames, codes, tokens, blocks, planes, weightGroup, exponents, factors, bias, addends */
static bool project(struct lm_memory* m, const uint32_t* w) {
  struct lm_product p;
  const uint32_t tokens = w[3], blocks = w[4], planes = w[5];
  within(m, planes, 1, 2);
  within(m, blocks, 1, MOST_BLOCKS / 2);
  if (!product(m, &p, w[0], w[1], w[2], tokens, blocks * planes, w[6])) return false;
  const uint64_t rows = (uint64_t)blocks * BLOCK_ROWS;
  struct lm_rows r = {
      .sums = p.sums,
      .exponents = range(m, w[7], rows),
      .factors = range(m, w[8], (uint64_t)blocks * tokens * sizeof(double)),
      .bias = optional_range(m, w[9], rows * sizeof(int32_t)),
      .tokens = p.tokens,
      .blocks = (int)blocks,
      .planes = (int)planes,
  };
  const uint8_t* addends = optional_range(m, w[10], tokens * sizeof(uint32_t));
  if (m->wrong != NULL) return false;
  for (uint32_t t = 0; addends != NULL && t < tokens; t++) {
    r.addends[t] = range(m, word(addends + t * sizeof(uint32_t)), rows * sizeof(int32_t));
  }
  if (m->wrong != NULL) return false;
  (tokens == 1 ? lm_gemv_avx2 : gemm)(&p);
  lm_scale_rows_avx2(&r);
  return true;
}

/* values i32 [k], codes */
static bool quantize(struct lm_memory* m, const uint32_t* w) {
  uint8_t* codes = range(m, w[1], CODES_BYTES);
  if (m->wrong != NULL || !has_avx512) return false;
  const uint32_t inputs = word(codes), bits = word(codes + CODES_BITS);
  if (bits != 4 && bits != 8) return false;
  within(m, inputs, GROUP, MOST_INPUTS);
  if (inputs % GROUP != 0) m->wrong = "a size is wrong";
  if (m->wrong != NULL) return false;
  const int32_t* values = range(m, w[0], inputs * sizeof(int32_t));
  uint8_t* records = range(m, word(codes + CODES_RECORDS), (uint64_t)(inputs / GROUP) * RECORD_BYTES);
  if (m->wrong != NULL) return false;
  int32_t exponent;
  const int groups = (int)inputs / ACTIVATION_GROUP;
  const uint64_t sum = (bits == 4 ? lm_quantize_a4_avx512 : lm_quantize_a8_avx512)(&exponent, records, values, groups);
  memcpy(codes + CODES_EXPONENT, &exponent, sizeof exponent);
  memcpy(codes + CODES_SUM, &sum, sizeof sum);
  return true;
}

/* w i32 [blocks · m · 2^log2], blocks, m, log2, signs i8 [m][m] */
static bool transform(struct lm_memory* m, const uint32_t* w) {
  const uint32_t blocks = w[1], order = w[2], log2 = w[3];
  if (!has_avx512 || order > LM_MOST_ORDER || log2 < 4) return false;
  within(m, blocks, 1, MOST_BLOCKS);
  within(m, order, 1, LM_MOST_ORDER);
  within(m, log2, 4, MOST_LOG2);
  if (m->wrong != NULL) return false;
  const uint64_t values = ((uint64_t)blocks * order) << log2;
  int32_t* at = range(m, w[0], values * sizeof(int32_t));
  const int8_t* signs = range(m, w[4], order * order);
  if (m->wrong != NULL) return false;
  lm_transform_avx512(at, (int)blocks, (int)order, 1 << log2, signs);
  return true;
}

/* ScanPlaces of assembly/units/ssmu-native.ts. */
struct scan_places {
  uint32_t conv, taps, weights, bias, silu, codes, exponents, y, code_dither, input_dither;
  uint32_t row, width, slot, channels, groups, token;
  int32_t shift, fraction;
};

/* GatePlaces, likewise. */
struct gate_places {
  uint32_t y, z, gamma, out, squares, silu, channels;
  int32_t z_shift, z_fraction, scale, gamma_scale;
};

/* HeadStep of assembly/units/ssmu-groups.ts. */
struct head_step {
  uint32_t token;
  int32_t halvings, fading;
  uint32_t b, c;
  int32_t exponent, read_shift;
  uint32_t head, products;
  int32_t mantissa;
  double fade, skip;
  uint32_t scan, gate; /* addresses of places, 0: not that part */
};

/* Channels from..from + channels of a convolution; false where there is no kernel for it, or something is wrong. */
static bool convolution(struct lm_memory* m, struct lm_convolution* v, const struct scan_places* p, uint32_t from, uint32_t channels, int32_t shift,
                        int32_t fraction) {
  if (channels % 16 != 0 || !fits(shift, 0, 31) || !fits(fraction, 0, 16)) return false;
  within(m, channels, 16, MOST_CHANNELS);
  within(m, p->row, channels, MOST_CHANNELS);
  within(m, from, 0, p->row - channels);
  within(m, p->width, 2, MOST_TAPS);
  within(m, p->slot, 0, p->width - 2);
  if (m->wrong != NULL) return false;
  const uint64_t row_bytes = (uint64_t)p->row * sizeof(int16_t);
  v->values = (int16_t*)range(m, p->conv, row_bytes) + from;
  v->taps = (int16_t*)range(m, p->taps, (p->width - 1) * row_bytes) + from;
  v->weights = (const int16_t*)range(m, p->weights, p->width * row_bytes) + from;
  v->bias = (const int32_t*)range(m, p->bias, 2 * row_bytes) + from;
  v->silu = range(m, p->silu, SILU_BYTES);
  v->row = p->row;
  v->channels = (int)channels;
  v->width = (int)p->width;
  v->slot = (int)p->slot;
  v->shift = shift;
  v->fraction = fraction;
  return m->wrong == NULL;
}

/* places, from, channels, shift, fraction */
static bool convolve(struct lm_memory* m, const uint32_t* w) {
  struct scan_places p;
  struct lm_convolution v;
  if (!has_avx512 || !take(m, &p, w[0], sizeof p) || !convolution(m, &v, &p, w[1], w[2], (int32_t)w[3], (int32_t)w[4])) return false;
  lm_convolve_avx512(&v);
  return true;
}

struct head_work {
  struct lm_convolution convolution;
  struct lm_scan scan;
  struct lm_gate gate;
  uint64_t* squares;
};

static bool scan_of(struct lm_memory* m, struct head_work* work, const struct head_step* step) {
  struct scan_places p;
  if (!take(m, &p, step->scan, sizeof p)) return false;
  const uint32_t channels = p.channels, groups = p.groups;
  if (channels % 16 != 0 || groups % 8 != 0) return false;
  within(m, channels, 16, LM_HEAD_CHANNELS);
  within(m, groups, 8, MOST_GROUPS);
  within(m, step->head, 0, MOST_HEADS);
  if (m->wrong != NULL) return false;
  const uint32_t first = step->head * channels;
  if (!convolution(m, &work->convolution, &p, first, channels, p.shift, p.fraction)) return false;
  const uint64_t before = first, end = first + channels, values = (uint64_t)groups * STATE_GROUP;
  work->scan = (struct lm_scan){
      .codes = (int8_t*)range(m, p.codes, end * values) + before * values,
      .exponents = (int8_t*)range(m, p.exponents, end * groups) + before * groups,
      .inputs = range(m, step->products, channels * sizeof(int32_t)),
      .out = (int32_t*)range(m, p.y, end * sizeof(int32_t)) + first,
      .b = range(m, step->b, values * sizeof(int16_t)),
      .c = range(m, step->c, values * sizeof(int16_t)),
      .code_dither = range(m, p.code_dither, DITHER_BYTES),
      .input_dither = range(m, p.input_dither, DITHER_BYTES),
      .channels = (int)channels,
      .groups = (int)groups,
      .first_channel = (int)first,
      .token = step->token,
      .halvings = step->halvings,
      .exponent = step->exponent,
      .read_shift = step->read_shift,
  };
  return m->wrong == NULL;
}

static bool gate_of(struct lm_memory* m, struct head_work* work, const struct head_step* step) {
  struct gate_places p;
  if (!take(m, &p, step->gate, sizeof p)) return false;
  if (p.channels % 16 != 0 || !fits(p.z_shift, -15, 31) || !fits(p.z_fraction, 0, 16)) return false;
  if (!fits(p.scale, -LARGEST_EXPONENT, LARGEST_EXPONENT) || !fits(p.gamma_scale, -LARGEST_EXPONENT, LARGEST_EXPONENT)) return false;
  within(m, p.channels, 16, LM_HEAD_CHANNELS);
  within(m, step->head, 0, MOST_HEADS);
  if (m->wrong != NULL) return false;
  const uint32_t first = step->head * p.channels;
  const uint64_t end = first + p.channels;
  const int16_t* gamma = optional_range(m, p.gamma, end * sizeof(int16_t));
  work->squares = (uint64_t*)range(m, p.squares, (step->head + 1ULL) * sizeof(uint64_t)) + step->head;
  work->gate = (struct lm_gate){
      .y = (const int32_t*)range(m, p.y, end * sizeof(int32_t)) + first,
      .z = (const int16_t*)range(m, p.z, end * sizeof(int16_t)) + first,
      .gamma = gamma == NULL ? NULL : gamma + first,
      .out = (int32_t*)range(m, p.out, end * sizeof(int32_t)) + first,
      .silu = range(m, p.silu, SILU_BYTES),
      .channels = (int)p.channels,
      .z_shift = p.z_shift,
      .z_fraction = p.z_fraction,
      .scale = ldexp(1, p.scale),
      .gamma_scale = ldexp(1, p.gamma_scale),
  };
  return m->wrong == NULL;
}

static void scan_head(struct head_work* w, const struct head_step* step, int32_t* products) {
  lm_convolve_avx512(&w->convolution);
  const int16_t* x = w->convolution.values;
  w->scan.exponent += lm_scale_input_avx512(products, x, step->mantissa, w->scan.channels);
  lm_scan_avx512(&w->scan);
  lm_read_head_avx512(w->scan.out, x, step->fade, step->skip, w->scan.channels);
}

static bool run_head(struct lm_memory* m, uint32_t at) {
  struct head_step step;
  struct head_work work;
  if (!take(m, &step, at, sizeof step)) return false;
  if (step.scan != 0 && !scan_of(m, &work, &step)) return false;
  if (step.gate != 0 && !gate_of(m, &work, &step)) return false;
  if (step.scan != 0) scan_head(&work, &step, (int32_t*)(m->base + step.products));
  if (step.gate != 0) *work.squares = lm_gate_avx512(&work.gate);
  return true;
}

/* steps, count. Whether a head can be done depends on the shape of its model alone: all of them, or none. */
static bool heads(struct lm_memory* m, const uint32_t* w) {
  if (!has_avx512) return false;
  within(m, w[1], 1, MOST_STEPS);
  if (m->wrong != NULL) return false;
  for (uint32_t i = 0; i < w[1]; i++) {
    if (!run_head(m, w[0] + i * (uint32_t)sizeof(struct head_step))) return false;
  }
  return true;
}

const struct lm_call lm_calls[LM_CALLS] = {
    {"project", 11, project}, {"quantize", 2, quantize}, {"transform", 5, transform}, {"convolve", 5, convolve}, {"heads", 2, heads},
};
