/*
 * The kernels as an add-on for Node, on a linear memory that threads share. Context-aware: each thread attaches by itself.
 *
 *   isa: string | null                       what of this processor the kernels use: lm_choose_kernels
 *   attach(memory: Uint8Array)               a shared linear memory from its first byte on, which never moves: asks for huge pages, returns the imports
 *     each of lm_calls(...words, pages)      1, or 0 where it did nothing; throws where an address or a size is wrong. `pages` of 64 KiB has the memory now
 */
#define _GNU_SOURCE
#include <node_api.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "calls.h"

#define PAGE_BYTES 65536U
#define HUGE_PAGE ((uintptr_t)2 << 20)
#define ADDRESS_SPACE ((uintptr_t)1 << 32)

/* A call on the memory of a thread. */
struct binding {
  const struct lm_call* call;
  uint8_t* base;
};

static napi_value run(napi_env env, napi_callback_info info) {
  napi_value values[LM_MOST_WORDS + 1], result;
  uint32_t words[LM_MOST_WORDS + 1];
  size_t count = LM_MOST_WORDS + 1;
  void* data = NULL;
  if (napi_get_cb_info(env, info, &count, values, NULL, &data) != napi_ok) return NULL;
  const struct binding* binding = data;
  const size_t wanted = binding->call->words;
  bool numbers = count == wanted + 1;
  for (size_t i = 0; numbers && i <= wanted; i++) numbers = napi_get_value_uint32(env, values[i], &words[i]) == napi_ok;
  if (!numbers) {
    napi_throw_type_error(env, NULL, "not as many numbers as it takes");
    return NULL;
  }
  struct lm_memory memory = {.base = binding->base, .bytes = (uint64_t)words[wanted] * PAGE_BYTES};
  const bool done = binding->call->run(&memory, words);
  if (memory.wrong != NULL) {
    napi_throw_range_error(env, NULL, memory.wrong);
    return NULL;
  }
  napi_create_uint32(env, done, &result);
  return result;
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
  struct binding* bindings = calloc(LM_CALLS, sizeof *bindings);
  if (bindings == NULL) {
    napi_throw_error(env, NULL, "no memory");
    return NULL;
  }
  napi_add_env_cleanup_hook(env, free, bindings); /* the instance's functions may be called as long as the thread lives */
  ask_for_huge_pages(base);
  napi_create_object(env, &imports);
  for (int i = 0; i < LM_CALLS; i++) {
    bindings[i] = (struct binding){.call = &lm_calls[i], .base = base};
    napi_create_function(env, lm_calls[i].name, NAPI_AUTO_LENGTH, run, &bindings[i], &function);
    napi_set_named_property(env, imports, lm_calls[i].name, function);
  }
  return imports;
}

NAPI_MODULE_INIT() {
  napi_value value;
  const char* isa = lm_choose_kernels();
  if (isa != NULL) napi_create_string_utf8(env, isa, NAPI_AUTO_LENGTH, &value);
  else napi_get_null(env, &value);
  napi_set_named_property(env, exports, "isa", value);
  napi_create_function(env, "attach", NAPI_AUTO_LENGTH, attach, NULL, &value);
  napi_set_named_property(env, exports, "attach", value);
  return exports;
}
