/*
 * lm_dma for Node: the memory of a device, its registers and its interrupts. host/device/board.ts is its only user, and says what the functions take.
 * The ring is not here: host/device/device.ts has it, for every kind of memory.
 *
 * A handle is an external value. A failure is thrown as an Error with the members code (lm_dma_code_t), expected and found.
 */
#include <node_api.h>
#include <stdlib.h>

#include "lm_dma.h"

#define MOST_ARGUMENTS 5
#define LARGEST_NUMBER 9007199254740991.0 /* 2^53 - 1 */

typedef struct {
  lm_dma_t* device; /* NULL: closed */
} handle;

/* ---------------------------------------------------------------------------------------------- values */

static napi_value fail(napi_env env, const char* text) {
  napi_throw_type_error(env, NULL, text);
  return NULL;
}

static void set_number(napi_env env, napi_value object, const char* name, double number) {
  napi_value value;
  napi_create_double(env, number, &value);
  napi_set_named_property(env, object, name, value);
}

static void set_text(napi_env env, napi_value object, const char* name, const char* text) {
  napi_value value;
  if (text[0] == 0) return;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, object, name, value);
}

static napi_value throw_error(napi_env env, const lm_dma_error_t* error) {
  napi_value text, thrown;
  napi_create_string_utf8(env, error->text, NAPI_AUTO_LENGTH, &text);
  napi_create_error(env, NULL, text, &thrown);
  set_number(env, thrown, "code", error->code);
  set_text(env, thrown, "expected", error->expected);
  set_text(env, thrown, "found", error->found);
  napi_throw(env, thrown);
  return NULL;
}

/* A whole number from 0 on; false, and an exception, if it is none. */
static bool whole(napi_env env, napi_value value, uint64_t* number) {
  double found;
  if (napi_get_value_double(env, value, &found) == napi_ok && found >= 0 && found <= LARGEST_NUMBER && found == (double)(uint64_t)found) {
    *number = (uint64_t)found;
    return true;
  }
  fail(env, "not a whole number from 0 on");
  return false;
}

/* The arguments and, as the first of them, an open device. */
static lm_dma_t* arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value* values) {
  size_t count = MOST_ARGUMENTS;
  void* pointer = NULL;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  if (count != wanted || napi_get_value_external(env, values[0], &pointer) != napi_ok) {
    fail(env, "not a device, or not as many arguments as it takes");
    return NULL;
  }
  lm_dma_t* device = ((handle*)pointer)->device;
  if (device == NULL) fail(env, "the device is closed");
  return device;
}

static bool bytes_of(napi_env env, napi_value value, void** at, size_t* bytes) {
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, value, &type, bytes, at, NULL, NULL) == napi_ok && type == napi_uint8_array) return true;
  fail(env, "not a Uint8Array");
  return false;
}

/* ---------------------------------------------------------------------------------------------- open, close */

static void finalize(napi_env env, void* data, void* hint) {
  (void)env;
  (void)hint;
  lm_dma_close(((handle*)data)->device);
  free(data);
}

/* open(registers, memory or "", address, bytes, offset) */
static napi_value open_device(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS], result;
  size_t count = MOST_ARGUMENTS, length;
  char registers[512], memory[512];
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  if (count != 5 || napi_get_value_string_utf8(env, values[0], registers, sizeof registers, &length) != napi_ok ||
      length == sizeof registers - 1 || napi_get_value_string_utf8(env, values[1], memory, sizeof memory, &length) != napi_ok ||
      length == sizeof memory - 1)
    return fail(env, "open: not two paths and three numbers, or too long a path");
  lm_dma_options_t options = {.registers = registers, .memory = memory[0] != 0 ? memory : NULL};
  if (!whole(env, values[2], &options.memory_address) || !whole(env, values[3], &options.memory_bytes) ||
      !whole(env, values[4], &options.memory_offset))
    return NULL;
  handle* made = calloc(1, sizeof *made);
  if (made == NULL) return fail(env, "no memory");
  lm_dma_error_t error;
  if (lm_dma_open(&options, &made->device, &error) != LM_DMA_OK) {
    free(made);
    return throw_error(env, &error);
  }
  napi_create_external(env, made, finalize, NULL, &result);
  return result;
}

static napi_value close_device(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS];
  size_t count = MOST_ARGUMENTS;
  void* pointer = NULL;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  if (count != 1 || napi_get_value_external(env, values[0], &pointer) != napi_ok) return fail(env, "not a device");
  lm_dma_close(((handle*)pointer)->device);
  ((handle*)pointer)->device = NULL;
  return NULL;
}

/* ---------------------------------------------------------------------------------------------- memory */

/* addMemory(device, path or "", address, bytes, offset) */
static napi_value add_memory(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS];
  char path[512];
  size_t length;
  uint64_t address, bytes, offset;
  lm_dma_error_t error;
  lm_dma_t* device = arguments(env, info, 5, values);
  if (device == NULL) return NULL;
  if (napi_get_value_string_utf8(env, values[1], path, sizeof path, &length) != napi_ok || length == sizeof path - 1)
    return fail(env, "addMemory: not a path, or too long a path");
  if (!whole(env, values[2], &address) || !whole(env, values[3], &bytes) || !whole(env, values[4], &offset)) return NULL;
  const lm_dma_code_t code = lm_dma_add_memory(device, path[0] != 0 ? path : NULL, address, bytes, offset, &error);
  return code == LM_DMA_OK ? NULL : throw_error(env, &error);
}

/* register(device, offset) */
static napi_value get_register(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS], result;
  uint64_t offset;
  lm_dma_t* device = arguments(env, info, 2, values);
  if (device == NULL || !whole(env, values[1], &offset)) return NULL;
  if (offset >= LM_REGISTER_PAGE) return fail(env, "no such register");
  napi_create_uint32(env, lm_dma_register(device, (uint32_t)offset), &result);
  return result;
}

/* setRegister(device, offset, value) */
static napi_value set_register(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS];
  uint64_t offset, value;
  lm_dma_t* device = arguments(env, info, 3, values);
  if (device == NULL || !whole(env, values[1], &offset) || !whole(env, values[2], &value)) return NULL;
  if (offset >= LM_REGISTER_PAGE || value > UINT32_MAX) return fail(env, "no such register, or not a word");
  lm_dma_set_register(device, (uint32_t)offset, (uint32_t)value);
  return NULL;
}

/* read(device, address, Uint8Array), write(device, address, Uint8Array) */
static napi_value transfer(napi_env env, napi_callback_info info, bool out) {
  napi_value values[MOST_ARGUMENTS];
  uint64_t address;
  void* at;
  size_t bytes;
  lm_dma_error_t error;
  lm_dma_t* device = arguments(env, info, 3, values);
  if (device == NULL || !whole(env, values[1], &address) || !bytes_of(env, values[2], &at, &bytes)) return NULL;
  const lm_dma_code_t code = out ? lm_dma_read(device, address, at, bytes, &error) : lm_dma_write(device, address, at, bytes, &error);
  return code == LM_DMA_OK ? NULL : throw_error(env, &error);
}

static napi_value read_memory(napi_env env, napi_callback_info info) {
  return transfer(env, info, true);
}

static napi_value write_memory(napi_env env, napi_callback_info info) {
  return transfer(env, info, false);
}

/* give(device, address, bytes), take(device, address, bytes) */
static napi_value hand_over(napi_env env, napi_callback_info info, bool give) {
  napi_value values[MOST_ARGUMENTS];
  uint64_t address, bytes;
  lm_dma_error_t error;
  lm_dma_t* device = arguments(env, info, 3, values);
  if (device == NULL || !whole(env, values[1], &address) || !whole(env, values[2], &bytes)) return NULL;
  const lm_dma_code_t code = give ? lm_dma_give(device, address, bytes, &error) : lm_dma_take(device, address, bytes, &error);
  return code == LM_DMA_OK ? NULL : throw_error(env, &error);
}

static napi_value give_memory(napi_env env, napi_callback_info info) {
  return hand_over(env, info, true);
}

static napi_value take_memory(napi_env env, napi_callback_info info) {
  return hand_over(env, info, false);
}

/* ---------------------------------------------------------------------------------------------- state, waiting */

/* state(device): where its memories are, whether it has interrupts and whoever played it is gone, and what was counted */
static napi_value state(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS], result, flag, memories;
  lm_dma_t* device = arguments(env, info, 1, values);
  if (device == NULL) return NULL;
  const lm_dma_counts_t counts = lm_dma_counts(device);
  napi_create_object(env, &result);
  napi_create_array(env, &memories);
  uint64_t address, bytes;
  for (uint32_t i = 0; lm_dma_memory(device, i, &address, &bytes); i++) {
    napi_value memory;
    napi_create_object(env, &memory);
    set_number(env, memory, "address", (double)address);
    set_number(env, memory, "bytes", (double)bytes);
    napi_set_element(env, memories, i, memory);
  }
  napi_set_named_property(env, result, "memories", memories);
  set_number(env, result, "gives", (double)counts.gives);
  set_number(env, result, "takes", (double)counts.takes);
  napi_get_boolean(env, lm_dma_has_interrupts(device), &flag);
  napi_set_named_property(env, result, "interrupts", flag);
  napi_get_boolean(env, lm_dma_gone(device), &flag);
  napi_set_named_property(env, result, "gone", flag);
  return result;
}

static napi_value arm(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS];
  lm_dma_t* device = arguments(env, info, 1, values);
  if (device != NULL) lm_dma_arm(device);
  return NULL;
}

/* sleep(device, microseconds): whether an interrupt came */
static napi_value sleep_device(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGUMENTS], result;
  uint64_t microseconds;
  lm_dma_t* device = arguments(env, info, 2, values);
  if (device == NULL || !whole(env, values[1], &microseconds)) return NULL;
  if (microseconds > UINT32_MAX) return fail(env, "too long a sleep");
  napi_get_boolean(env, lm_dma_sleep(device, (uint32_t)microseconds), &result);
  return result;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char* name;
    napi_callback call;
  } functions[] = {
    {"open", open_device}, {"close", close_device}, {"register", get_register}, {"setRegister", set_register},
    {"read", read_memory}, {"write", write_memory}, {"give", give_memory},      {"take", take_memory},
    {"state", state},       {"arm", arm},            {"sleep", sleep_device},    {"addMemory", add_memory},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}
