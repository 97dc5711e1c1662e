/*
 * The kernels as an add-on for Node: what assembly/native.ts imports, on a linear memory that threads share. Context-aware: each thread attaches by itself.
 *
 *   isa: string | null                       what of this processor the kernels use: "avx512", "avx2" or nothing; LIGHTMAMBA_ISA leaves avx2 or none of it
 *   attach(memory: Uint8Array)               a shared linear memory from its first byte on, which never moves: asks for huge pages, returns the imports
 *     project(values, frames, codes, tokens, blocks, planes, weightGroup, exponents, factors, bias, addends, pages)
 *     scan(step, codes, exponents, inputs, channel, channels, groups, out, codeDither, shiftRows, pages): number
 *                                            0 where there is no kernel for this processor, or for a state of such a shape
 *
 * Pointers are addresses of linear memory, which has so many pages of 64 KiB now. A call that would leave it throws.
 */
#define _GNU_SOURCE
#include <node_api.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels.h"

#define PAGE_BYTES 65536U
#define HUGE_PAGE ((uintptr_t)2 << 20)
#define ADDRESS_SPACE ((uintptr_t)1 << 32)

enum {
  PROJECT_ARGUMENTS = 12,
  SCAN_ARGUMENTS = 11,
  /* Codes of assembly/units/codes.ts: k, bits, exponent, sum, records */
  CODES_BITS = 4,
  CODES_RECORDS = 24,
  CODES_BYTES = 28,
  MOST_INPUTS = 1 << 16,
  MOST_BLOCKS = 1 << 20,
  /* HeadStep of assembly/units/ssmu-groups.ts: t, k, f, bCodes, cCodes, exponent, readShift */
  STEP_WORDS = 7,
  MOST_CHANNELS = 1 << 20,
};

/* Of one thread: its linear memory, and what has gone wrong in the call. */
typedef struct {
  uint8_t* base;
  uint64_t bytes;
  const char* wrong;
} memory;

static void (*gemv)(const struct lm_product*);
static void (*gemm)(const struct lm_product*);
static void (*scan_channels)(const struct lm_scan*);

static const char* choose_kernels(void) {
  const char* wanted = getenv("LIGHTMAMBA_ISA");
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || (wanted != NULL && strcmp(wanted, "none") == 0)) return NULL;
  gemv = lm_gemv_avx2;
  gemm = lm_gemm_avx2;
  if (wanted != NULL && strcmp(wanted, "avx2") == 0) return "avx2";
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vnni")) return "avx2";
  gemm = lm_gemm_avx512;
  scan_channels = lm_scan_avx512;
  return "avx512";
}

/* ---------------------------------------------------------------------------------------------- arguments */

/* The words of a call, and its memory; NULL, and an exception, where there are not so many. The last one counts pages. */
static memory* arguments(napi_env env, napi_callback_info info, size_t wanted, uint32_t* words) {
  napi_value values[PROJECT_ARGUMENTS];
  size_t count = wanted;
  void* data = NULL;
  bool numbers = napi_get_cb_info(env, info, &count, values, NULL, &data) == napi_ok && count == wanted;
  for (size_t i = 0; numbers && i < wanted; i++) numbers = napi_get_value_uint32(env, values[i], &words[i]) == napi_ok;
  if (!numbers) {
    napi_throw_type_error(env, NULL, "not as many numbers as it takes");
    return NULL;
  }
  memory* m = data;
  m->bytes = (uint64_t)words[wanted - 1] * PAGE_BYTES;
  m->wrong = NULL;
  return m;
}

static void* range(memory* m, uint32_t at, uint64_t bytes) {
  if (at + bytes > m->bytes) m->wrong = "an address is outside of linear memory";
  return m->base + at;
}

static uint32_t word(const uint8_t* at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static void within(memory* m, uint32_t value, uint32_t least, uint32_t most) {
  if (value < least || value > most) m->wrong = "a size is wrong";
}

static napi_value number(napi_env env, uint32_t value) {
  napi_value result;
  napi_create_uint32(env, value, &result);
  return result;
}

/* Nothing, or an exception. */
static napi_value finish(napi_env env, const memory* m) {
  if (m->wrong != NULL) napi_throw_range_error(env, NULL, m->wrong);
  return NULL;
}

/* ---------------------------------------------------------------------------------------------- calls */

/* A product from what a call says of it: false where that is wrong. */
static bool product(memory* m, struct lm_product* p, uint32_t sums, uint32_t frames, uint32_t codes_at, uint32_t tokens, uint32_t blocks,
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

/* NULL for address 0. */
static void* optional_range(memory* m, uint32_t at, uint64_t bytes) { return at == 0 ? NULL : range(m, at, bytes); }

static napi_value project(napi_env env, napi_callback_info info) {
  uint32_t w[PROJECT_ARGUMENTS];
  struct lm_product p;
  memory* m = arguments(env, info, PROJECT_ARGUMENTS, w);
  if (m == NULL) return NULL;
  const uint32_t tokens = w[3], blocks = w[4], planes = w[5];
  within(m, planes, 1, 2);
  within(m, blocks, 1, MOST_BLOCKS / 2);
  if (!product(m, &p, w[0], w[1], w[2], tokens, blocks * planes, w[6])) return finish(env, m);
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
  if (m->wrong != NULL) return finish(env, m);
  for (uint32_t t = 0; addends != NULL && t < tokens; t++) {
    r.addends[t] = range(m, word(addends + t * sizeof(uint32_t)), rows * sizeof(int32_t));
  }
  if (m->wrong != NULL) return finish(env, m);
  (p.tokens == 1 ? gemv : gemm)(&p);
  lm_scale_rows_avx2(&r);
  return NULL;
}

static napi_value scan(napi_env env, napi_callback_info info) {
  uint32_t w[SCAN_ARGUMENTS];
  memory* m = arguments(env, info, SCAN_ARGUMENTS, w);
  if (m == NULL) return NULL;
  const uint32_t channels = w[5], groups = w[6];
  if (scan_channels == NULL || channels % 4 != 0 || groups % 8 != 0) return number(env, 0);
  within(m, channels, 4, MOST_CHANNELS);
  within(m, groups, 8, MOST_CHANNELS);
  const uint8_t* step = range(m, w[0], STEP_WORDS * sizeof(uint32_t));
  if (m->wrong != NULL) return finish(env, m);
  const uint64_t values = (uint64_t)groups * STATE_GROUP;
  const struct lm_scan s = {
      .codes = range(m, w[1], channels * values),
      .exponents = range(m, w[2], (uint64_t)channels * groups),
      .inputs = range(m, w[3], channels * sizeof(int32_t)),
      .out = range(m, w[7], channels * sizeof(int32_t)),
      .b = range(m, word(step + 12), values * sizeof(int16_t)),
      .c = range(m, word(step + 16), values * sizeof(int16_t)),
      .code_dither = range(m, w[8], DITHER_BYTES),
      .shift_rows = range(m, w[9], SHIFT_ROWS * SHIFT_ROW_BYTES),
      .channels = (int)channels,
      .groups = (int)groups,
      .first_channel = (int)w[4],
      .token = word(step),
      .halvings = (int)word(step + 4),
      .exponent = (int)word(step + 20),
      .read_shift = (int)word(step + 24),
  };
  if (m->wrong != NULL) return finish(env, m);
  scan_channels(&s);
  return number(env, 1);
}

/* Weights are read from front to back: with pages of 4 KiB a processor waits for their addresses half of the time. */
static void ask_for_huge_pages(uint8_t* base) {
#ifdef MADV_HUGEPAGE
  const uintptr_t first = ((uintptr_t)base + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
  madvise((void*)first, (uintptr_t)base + ADDRESS_SPACE - first, MADV_HUGEPAGE); /* a wish: what becomes of it changes no result */
#else
  (void)base;
#endif
}

static napi_value attach(napi_env env, napi_callback_info info) {
  napi_value value, imports, function;
  size_t count = 1, bytes = 0;
  napi_typedarray_type type;
  void* base = NULL;
  napi_get_cb_info(env, info, &count, &value, NULL, NULL);
  if (count != 1 || napi_get_typedarray_info(env, value, &type, &bytes, &base, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    napi_throw_type_error(env, NULL, "attach() takes a Uint8Array");
    return NULL;
  }
  memory* m = calloc(1, sizeof *m);
  if (m == NULL) {
    napi_throw_error(env, NULL, "no memory");
    return NULL;
  }
  m->base = base;
  ask_for_huge_pages(base);
  napi_add_env_cleanup_hook(env, free, m); /* the instance's functions may be called as long as the thread lives */
  napi_create_object(env, &imports);
  napi_create_function(env, "project", NAPI_AUTO_LENGTH, project, m, &function);
  napi_set_named_property(env, imports, "project", function);
  napi_create_function(env, "scan", NAPI_AUTO_LENGTH, scan, m, &function);
  napi_set_named_property(env, imports, "scan", function);
  return imports;
}

NAPI_MODULE_INIT() {
  napi_value value;
  const char* isa = choose_kernels();
  if (isa != NULL) napi_create_string_utf8(env, isa, NAPI_AUTO_LENGTH, &value);
  else napi_get_null(env, &value);
  napi_set_named_property(env, exports, "isa", value);
  napi_create_function(env, "attach", NAPI_AUTO_LENGTH, attach, NULL, &value);
  napi_set_named_property(env, exports, "attach", value);
  return exports;
}
