/*
 * Hand-over of memory between processor and device: docs/device.md, "Ownership and caches".
 *
 * On aarch64 the range is cleaned, or cleaned and invalidated, to the point of coherency; both are allowed to programs, and do nothing to a mapping
 * that is not cached. The barriers order what follows even then. Elsewhere the other side is a process on the same memory, and a fence is enough.
 */
#include "../include/lm_device.h"

#if defined(__aarch64__)

/* Bytes of the smallest line of any data cache */
static size_t line_bytes(void) {
  uint64_t type;
  __asm__ volatile("mrs %0, ctr_el0" : "=r"(type));
  return (size_t)4 << ((type >> 16) & 15);
}

#define FOR_EACH_LINE(operation, start, bytes)                                                      \
  do {                                                                                              \
    const size_t line = line_bytes();                                                               \
    const uintptr_t first = (uintptr_t)(start) & ~(uintptr_t)(line - 1);                            \
    const uintptr_t end = (uintptr_t)(start) + (bytes);                                             \
    for (uintptr_t at = first; at < end; at += line) __asm__ volatile(operation ", %0" ::"r"(at) : "memory"); \
  } while (0)

void lm_memory_give(const volatile void* start, size_t bytes) {
  FOR_EACH_LINE("dc cvac", start, bytes);
  __asm__ volatile("dsb sy" ::: "memory");
}

void lm_memory_take(const volatile void* start, size_t bytes) {
  __asm__ volatile("dsb sy" ::: "memory");
  FOR_EACH_LINE("dc civac", start, bytes);
  __asm__ volatile("dsb sy" ::: "memory");
}

#else

#include <stdatomic.h>

void lm_memory_give(const volatile void* start, size_t bytes) {
  (void)start;
  (void)bytes;
  atomic_thread_fence(memory_order_seq_cst);
}

void lm_memory_take(const volatile void* start, size_t bytes) {
  (void)start;
  (void)bytes;
  atomic_thread_fence(memory_order_seq_cst);
}

#endif
