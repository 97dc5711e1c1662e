/* What the add-on offers under the module name `native` (assembly/native.ts): calls of words of 32 bits, whose addresses are those of a linear memory. */
#ifndef LM_CALLS_H
#define LM_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A linear memory as a call finds it, and what is wrong with the call. */
struct lm_memory {
  uint8_t* base;
  uint64_t bytes;
  const char* wrong;
};

struct lm_call {
  const char* name;
  size_t words;
  /* Whether it was done: it is not where there is no kernel for this processor or such a shape, nor where something is wrong. */
  bool (*run)(struct lm_memory* memory, const uint32_t* words);
};

enum { LM_CALLS = 5, LM_MOST_WORDS = 11 };
extern const struct lm_call lm_calls[LM_CALLS];

/* What of this processor the kernels use: "avx512", "avx2", or NULL. Before the first call. LIGHTMAMBA_ISA leaves avx2 or none of it. */
const char* lm_choose_kernels(void);

#endif
