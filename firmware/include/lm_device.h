/*
 * The contract between the accelerator and whoever drives it: docs/device.md in C. The numbers are generated from boards/contract.yaml, the
 * same as in SystemVerilog, TypeScript and AssemblyScript.
 *
 * Registers are mailbox words: each is written by one side only, and reading one changes nothing, so that plain shared memory can stand in for
 * them. A word is 32 bits, little-endian. Everything in memory is little-endian too.
 */
#ifndef LM_DEVICE_H
#define LM_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lm_device_numbers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A descriptor, 64 bytes. Fields that an opcode has no use for are 0. */
typedef struct {
  uint8_t opcode;    /* LM_OP_* */
  uint8_t flags;     /* LM_FLAG_* */
  uint16_t layer;    /* for messages only */
  uint32_t sequence; /* counts up by 1 */
  uint32_t count;    /* rows, values or bytes */
  uint16_t inputs;
  uint8_t tokens;
  uint8_t format; /* activation bits: 4, 5, 6, 8 */
  uint64_t address[4];
  uint16_t heads;
  uint16_t head_dim;
  uint16_t state;
  uint8_t groups;
  uint8_t conv;
  uint8_t route; /* LM_ROUTE_* */
  uint8_t planes;
  uint8_t weight_group;
  uint8_t stride;
  uint32_t check; /* lm_check() */
} lm_descriptor_t;

/* A completion, 64 bytes. It is there when sequence is the one waited for and done is sequence ^ LM_DONE_XOR. */
typedef struct {
  uint32_t sequence;
  uint8_t status; /* LM_STATUS_* */
  uint8_t opcode;
  uint8_t unit; /* LM_UNIT_* */
  uint8_t reserved0;
  uint64_t info; /* what is at fault: see docs/device.md */
  uint64_t start; /* cycle of the device */
  uint32_t cycles;
  uint32_t reserved1;
  uint32_t beats_read;
  uint32_t beats_written;
  uint32_t held; /* of cycles: waiting for the descriptor before, LM_FLAG_FOLLOW */
  uint32_t reserved2[4];
  uint32_t done;
} lm_completion_t;

/* The check word of a descriptor whose other words are set. */
static inline uint32_t lm_check(const lm_descriptor_t* descriptor) {
  uint32_t words[LM_DESC_CHECK / 4];
  uint32_t check = LM_CHECK_XOR;
  memcpy(words, descriptor, sizeof words);
  for (unsigned i = 0; i < LM_DESC_CHECK / 4; i++) check ^= words[i];
  return check;
}

static inline uint32_t lm_register_read(const volatile void* page, uint32_t offset) {
  return *(const volatile uint32_t*)((const volatile char*)page + offset);
}

static inline void lm_register_write(volatile void* page, uint32_t offset, uint32_t value) {
  *(volatile uint32_t*)((volatile char*)page + offset) = value;
}

/*
 * Hand-over of memory: to be called for every range, whether or not the memory at hand needs it.
 *   lm_memory_give: the host has written, the device may read: clean the caches, then a barrier before the doorbell
 *   lm_memory_take: the device has written, the host may read: invalidate the caches, after a barrier behind the completion
 */
void lm_memory_give(const volatile void* start, size_t bytes);
void lm_memory_take(const volatile void* start, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
