/* Errors in words. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lm_dma_internal.h"

/* In a descriptor that belongs to no layer */
#define NO_LAYER 0xffff

static void begin(lm_dma_error_t* error, lm_dma_code_t code) {
  memset(error, 0, sizeof *error);
  error->code = code;
}

lm_dma_code_t lm_fail(lm_dma_error_t* error, lm_dma_code_t code, const char* format, ...) {
  if (error == NULL) return code;
  begin(error, code);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  return code;
}

lm_dma_code_t lm_expected(lm_dma_error_t* error, lm_dma_code_t code, const char* expected, const char* found, const char* text) {
  if (error == NULL) return code;
  begin(error, code);
  snprintf(error->text, sizeof error->text, "%s", text);
  snprintf(error->expected, sizeof error->expected, "%s", expected);
  snprintf(error->found, sizeof error->found, "%s", found);
  return code;
}

lm_dma_code_t lm_fail_system(lm_dma_error_t* error, const char* path, const char* what) {
  return lm_fail(error, LM_DMA_SYSTEM, "%s: %s: %s", path, what, strerror(errno));
}

static const char* opcode_name(uint8_t opcode) {
  switch (opcode) {
#define NAME(code, text) \
  case code: return text;
    LM_OPCODE_NAMES(NAME)
#undef NAME
    default: return NULL;
  }
}

static const char* status_text(uint8_t status) {
  switch (status) {
#define TEXT(code, text) \
  case code: return text;
    LM_STATUS_TEXTS(TEXT)
#undef TEXT
    default: return "unknown status";
  }
}

void lm_describe(const lm_descriptor_t* descriptor, char* into, size_t bytes) {
  char opcode[16], layer[16] = "";
  const char* name = opcode_name(descriptor->opcode);
  snprintf(opcode, sizeof opcode, "opcode 0x%x", descriptor->opcode);
  if (descriptor->layer != NO_LAYER) snprintf(layer, sizeof layer, ", layer %u", descriptor->layer);
  snprintf(into, bytes, "%s%s", name != NULL ? name : opcode, layer);
}

/* What `info` means, "Completions" */
static void explain(uint8_t status, uint64_t info, char* into, size_t bytes) {
  switch (status) {
    case LM_STATUS_WINDOW:
    case LM_STATUS_BUS: snprintf(into, bytes, ": address 0x%" PRIx64, info); break;
    case LM_STATUS_ALIGNMENT:
    case LM_STATUS_SIZE:
    case LM_STATUS_FLAGS:
    case LM_STATUS_OVERLAP:
    case LM_STATUS_CHECK: snprintf(into, bytes, ": field or address 0x%" PRIx64, info); break;
    case LM_STATUS_SEQUENCE: snprintf(into, bytes, ": expected number %" PRIu64, info); break;
    case LM_STATUS_OPCODE:
    case LM_STATUS_RING: snprintf(into, bytes, ": found 0x%" PRIx64, info); break;
    case LM_STATUS_FORMAT: snprintf(into, bytes, ": %" PRIu64 " bits", info); break;
    default: into[0] = 0;
  }
}

lm_dma_code_t lm_fail_command(lm_dma_error_t* error, const lm_descriptor_t* descriptor, uint32_t sequence, uint8_t status, uint64_t info) {
  char name[48] = "unknown", more[48];
  /* Another may have taken its place since, or it was never ours */
  if (descriptor->sequence == sequence) lm_describe(descriptor, name, sizeof name);
  explain(status, info, more, sizeof more);
  lm_fail(error, LM_DMA_COMMAND, "command %" PRIu32 " (%s): %s%s", sequence, name, status_text(status), more);
  if (error == NULL) return LM_DMA_COMMAND;
  error->sequence = sequence;
  error->status = status;
  error->info = info;
  return LM_DMA_COMMAND;
}
