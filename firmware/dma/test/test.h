/* One process runs one case. A check that fails ends it with a message and exit code 1. */
#ifndef LM_DMA_TEST_H
#define LM_DMA_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lm_dma.h"

typedef struct {
  const char* name;
  void (*run)(void);
} test_case;

extern const test_case unit_cases[], simulator_cases[];
/* The simulator's program; NULL where there is none */
extern const char* simulator_program;

#define CHECK(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, #condition, NULL))
/* A call of the library, which names `error`: this code, and this in the text of the error */
#define EXPECT(wanted, part, call)                                                          \
  do {                                                                                      \
    lm_dma_error_t error = {0};                                                             \
    const lm_dma_code_t got = (call);                                                       \
    if (got != (wanted) || (got != LM_DMA_OK && (error.code != got || strstr(error.text, (part)) == NULL))) \
      test_fail(__FILE__, __LINE__, #call, &error);                                         \
  } while (0)
#define OK(call) EXPECT(LM_DMA_OK, "", call)

_Noreturn void test_fail(const char* file, int line, const char* what, const lm_dma_error_t* error);
void test_sleep_ms(unsigned milliseconds);
double test_seconds(void);
uint8_t test_noise(uint32_t index);

/* Shared memory that begins with the register page, and its path for lm_dma_open. Gone with the process. */
typedef struct {
  int fd;
  char path[32];
  volatile uint8_t* at;
  size_t bytes;
} test_memory;

test_memory test_make_memory(size_t bytes);
lm_dma_t* test_open(const test_memory* memory);

static inline lm_descriptor_t test_copy(uint64_t from, uint64_t to, uint32_t bytes) {
  return (lm_descriptor_t){.opcode = LM_OP_COPY, .layer = 0xffff, .count = bytes, .address = {from, to}};
}

#endif
