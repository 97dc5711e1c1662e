/* What device.rs needs of the contract in C: numbers of registers and opcodes are in one place. And that both sides mean the same structures. */
#include <assert.h>

#include "lm_dma.h"

static_assert(sizeof(lm_dma_options_t) == 56, "Options in device.rs");
static_assert(sizeof(lm_dma_error_t) == 408, "Failure in device.rs");
static_assert(sizeof(lm_dma_setup_t) == 24, "Start in device.rs");
static_assert(sizeof(lm_dma_build_t) == 72, "Build in device.rs");
static_assert(sizeof(lm_dma_layout_t) == 48, "Layout in device.rs");
static_assert(sizeof(lm_descriptor_t) == 64, "DESCRIPTOR in link.rs");
static_assert(LM_DMA_ARGUMENT == 1 && LM_DMA_COMMAND == 7, "codes in device.rs");
static_assert(LM_PORT_PATTERN == 63, "MOST_PATTERN in setup.rs");

/* Cycles with a command at work, since power-up. */
uint64_t lm_runner_busy_cycles(const lm_dma_t* device) {
  for (;;) {
    const uint32_t high = lm_dma_register(device, LM_REG_BUSY_LOW + 4);
    const uint32_t low = lm_dma_register(device, LM_REG_BUSY_LOW);
    if (lm_dma_register(device, LM_REG_BUSY_LOW + 4) == high) return (uint64_t)high << 32 | low;
  }
}

uint32_t lm_runner_version(const lm_dma_t* device) {
  return lm_dma_register(device, LM_REG_VERSION);
}

/* Both addresses are the device's. */
lm_dma_code_t lm_runner_copy(lm_dma_t* device, uint64_t from, uint64_t to, uint32_t bytes, lm_dma_error_t* error) {
  const lm_descriptor_t copy = {.opcode = LM_OP_COPY, .count = bytes, .address = {from, to}};
  uint32_t last;
  const lm_dma_code_t code = lm_dma_submit(device, &copy, 1, &last, error);
  return code == LM_DMA_OK ? lm_dma_wait(device, last, NULL, error) : code;
}
