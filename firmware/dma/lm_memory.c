/* Registers, copies and hand-overs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lm_dma_internal.h"

uint64_t lm_dma_memory_address(const lm_dma_t* device) {
  return device->memories[0].address;
}

uint64_t lm_dma_memory_bytes(const lm_dma_t* device) {
  return device->memories[0].bytes;
}

uint32_t lm_dma_memory_count(const lm_dma_t* device) {
  return device->memory_count;
}

bool lm_dma_memory(const lm_dma_t* device, uint32_t i, uint64_t* address, uint64_t* bytes) {
  if (i >= device->memory_count) return false;
  *address = device->memories[i].address;
  *bytes = device->memories[i].bytes;
  return true;
}

lm_dma_counts_t lm_dma_counts(const lm_dma_t* device) {
  return device->counts;
}

/* ---------------------------------------------------------------------------------------------- registers */

static bool is_register(uint32_t offset) {
  return offset % 4 == 0 && offset < LM_REGISTER_PAGE;
}

uint32_t lm_dma_register(const lm_dma_t* device, uint32_t offset) {
  return is_register(offset) ? lm_register_read(device->page, offset) : 0;
}

void lm_dma_set_register(lm_dma_t* device, uint32_t offset, uint32_t value) {
  if (is_register(offset)) lm_register_write(device->page, offset, value);
}

uint64_t lm_wide(const lm_dma_t* device, uint32_t low) {
  for (;;) {
    const uint32_t high = lm_dma_register(device, low + 4);
    const uint32_t value = lm_dma_register(device, low);
    if (lm_dma_register(device, low + 4) == high) return (uint64_t)high << 32 | value;
  }
}

/* ---------------------------------------------------------------------------------------------- copies */

/*
 * A mapping that is not cached may be device memory, where an access must be aligned and memcpy() may use ones that are not. So on the device's side
 * these touch single bytes up to a multiple of 8, then words of 8.
 */
static size_t to_word(const volatile uint8_t* at, size_t bytes) {
  const size_t over = -(uintptr_t)at & 7;
  return over < bytes ? over : bytes;
}

void lm_copy_in(volatile uint8_t* to, const uint8_t* from, size_t bytes) {
  const size_t head = to_word(to, bytes), words = (bytes - head) / 8;
  for (size_t i = 0; i < head; i++) to[i] = from[i];
  volatile uint64_t* target = (volatile uint64_t*)(volatile void*)(to + head);
  for (size_t i = 0; i < words; i++) {
    uint64_t word;
    memcpy(&word, from + head + 8 * i, 8);
    target[i] = word;
  }
  for (size_t i = head + 8 * words; i < bytes; i++) to[i] = from[i];
}

void lm_copy_out(uint8_t* to, const volatile uint8_t* from, size_t bytes) {
  const size_t head = to_word(from, bytes), words = (bytes - head) / 8;
  for (size_t i = 0; i < head; i++) to[i] = from[i];
  const volatile uint64_t* source = (const volatile uint64_t*)(const volatile void*)(from + head);
  for (size_t i = 0; i < words; i++) {
    const uint64_t word = source[i];
    memcpy(to + head + 8 * i, &word, 8);
  }
  for (size_t i = head + 8 * words; i < bytes; i++) to[i] = from[i];
}

volatile uint8_t* lm_at(const lm_dma_t* device, uint64_t address, uint64_t bytes, lm_dma_error_t* error) {
  for (uint32_t i = 0; i < device->memory_count; i++) {
    const lm_range_t* m = &device->memories[i];
    if (address >= m->address && bytes <= m->bytes && address - m->address <= m->bytes - bytes) return m->at + (address - m->address);
  }
  char expected[64], found[64];
  const lm_range_t* first = &device->memories[0];
  snprintf(expected, sizeof expected, "within 0x%" PRIx64 " to 0x%" PRIx64, first->address, first->address + first->bytes);
  snprintf(found, sizeof found, "0x%" PRIx64 ", %" PRIu64 " bytes", address, bytes);
  lm_expected(error, LM_DMA_ARGUMENT, expected, found, "not in the device's memory");
  return NULL;
}

lm_dma_code_t lm_dma_write(lm_dma_t* device, uint64_t address, const void* from, size_t bytes, lm_dma_error_t* error) {
  volatile uint8_t* to = lm_at(device, address, bytes, error);
  if (to == NULL) return LM_DMA_ARGUMENT;
  lm_copy_in(to, from, bytes);
  return LM_DMA_OK;
}

lm_dma_code_t lm_dma_read(lm_dma_t* device, uint64_t address, void* into, size_t bytes, lm_dma_error_t* error) {
  const volatile uint8_t* from = lm_at(device, address, bytes, error);
  if (from == NULL) return LM_DMA_ARGUMENT;
  lm_copy_out(into, from, bytes);
  return LM_DMA_OK;
}

/* ---------------------------------------------------------------------------------------------- hand-overs */

lm_dma_code_t lm_dma_give(lm_dma_t* device, uint64_t address, size_t bytes, lm_dma_error_t* error) {
  const volatile uint8_t* at = lm_at(device, address, bytes, error);
  if (at == NULL) return LM_DMA_ARGUMENT;
  device->counts.gives++;
  lm_memory_give(at, bytes);
  return LM_DMA_OK;
}

lm_dma_code_t lm_dma_take(lm_dma_t* device, uint64_t address, size_t bytes, lm_dma_error_t* error) {
  const volatile uint8_t* at = lm_at(device, address, bytes, error);
  if (at == NULL) return LM_DMA_ARGUMENT;
  device->counts.takes++;
  lm_memory_take(at, bytes);
  return LM_DMA_OK;
}

lm_dma_code_t lm_dma_load_file(lm_dma_t* device, int fd, uint64_t offset, uint64_t bytes, uint64_t address, lm_dma_error_t* error) {
  volatile uint8_t* to = lm_at(device, address, bytes, error);
  if (to == NULL) return LM_DMA_ARGUMENT;
  if (offset > INT64_MAX || bytes > INT64_MAX - offset) return lm_fail(error, LM_DMA_ARGUMENT, "no such place in a file");
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t left = bytes - done;
    const ssize_t count = pread(fd, device->bounce, left < LM_BOUNCE ? (size_t)left : LM_BOUNCE, (off_t)(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return lm_fail_system(error, "file", "cannot be read");
    if (count == 0) {
      char expected[64], found[64];
      snprintf(expected, sizeof expected, "%" PRIu64 " bytes", offset + bytes);
      snprintf(found, sizeof found, "%" PRIu64, offset + done);
      return lm_expected(error, LM_DMA_SYSTEM, expected, found, "the file ends early");
    }
    lm_copy_in(to + done, device->bounce, (size_t)count);
    done += (uint64_t)count;
  }
  return lm_dma_give(device, address, (size_t)bytes, error);
}
