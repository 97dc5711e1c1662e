/* What the files of this library share. */
#ifndef LM_DMA_INTERNAL_H
#define LM_DMA_INTERNAL_H

#include "lm_dma.h"

/* Between a file and the device's memory, which may not be what a system call can write to. */
#define LM_BOUNCE 65536

/* A memory of the device. */
typedef struct {
  volatile uint8_t* at;
  uint64_t address, bytes;
  int fd; /* -1: that of the registers */
} lm_range_t;

struct lm_dma {
  volatile uint8_t* page; /* registers */
  lm_range_t memories[LM_DMA_MEMORIES];
  uint32_t memory_count;
  int registers_fd;
  int interrupts; /* -1: none */
  bool watched;                /* a process plays the device, and holds a lock on the file for as long as it lives */

  lm_dma_build_t build;
  lm_dma_layout_t layout;
  uint8_t port_memories[LM_PORT_PATTERN];
  uint32_t ring_log2; /* 0: not started */
  uint32_t head;      /* descriptors put into the ring */
  uint32_t timeout_ms;
  char broken[256]; /* empty: in order */

  lm_dma_counts_t counts;
  _Alignas(64) uint8_t bounce[LM_BOUNCE];
};

/* Fills *error in, if there is one; returns the code. The format gives the text; expected and found are added by lm_expected. */
lm_dma_code_t lm_fail(lm_dma_error_t* error, lm_dma_code_t code, const char* format, ...) __attribute__((format(printf, 3, 4)));
lm_dma_code_t lm_expected(lm_dma_error_t* error, lm_dma_code_t code, const char* expected, const char* found, const char* text);
/* With errno's text. */
lm_dma_code_t lm_fail_system(lm_dma_error_t* error, const char* path, const char* what);
/* What the device said about a descriptor; `descriptor` is what lies in its place in the ring. */
lm_dma_code_t lm_fail_command(lm_dma_error_t* error, const lm_descriptor_t* descriptor, uint32_t sequence, uint8_t status, uint64_t info);
/* "COPY" or "MULTIPLY, layer 3", for messages. */
void lm_describe(const lm_descriptor_t* descriptor, char* into, size_t bytes);

/* The memory at a device address, or NULL and an error when the range is not all in one. */
volatile uint8_t* lm_at(const lm_dma_t* device, uint64_t address, uint64_t bytes, lm_dma_error_t* error);
void lm_copy_in(volatile uint8_t* to, const uint8_t* from, size_t bytes);
void lm_copy_out(uint8_t* to, const volatile uint8_t* from, size_t bytes);

/* What is waited for: LM_DMA_TIMEOUT while it is not there, LM_DMA_OK when it is; any other code ends the wait. */
typedef lm_dma_code_t (*lm_look_t)(lm_dma_t* device, uint32_t value, lm_dma_error_t* error);
/* what, problem: for the message of a time-out. */
lm_dma_code_t lm_until(lm_dma_t* device, lm_look_t look, uint32_t value, const char* what, const char* problem, lm_dma_error_t* error);

/* A register of 64 bits; low word's offset. */
uint64_t lm_wide(const lm_dma_t* device, uint32_t low);

/* Whether a comes after b, both counters modulo 2^32. */
static inline bool lm_after(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) > 0;
}

#endif
