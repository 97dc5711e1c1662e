/* The ring: who is there, descriptors, completions, reset. */
#include "lm_dma.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lm_dma_internal.h"

#define DEFAULT_RING_LOG2 9
#define DEFAULT_TIMEOUT_MS 10000

_Static_assert(sizeof(lm_descriptor_t) == LM_DESCRIPTOR && sizeof(lm_completion_t) == LM_COMPLETION, "as docs/device.md has them");
_Static_assert(sizeof(lm_dma_build_t) == LM_REG_BUILD_STATE_PORTS + 4 - LM_REG_BUILD_LANES, "a member for each word BUILD_*");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "all in memory is little-endian");

static const char NO_ANSWER[] = "no answer from the device";

static uint64_t entries(const lm_dma_t* device) {
  return (uint64_t)1 << device->ring_log2;
}

static uint64_t align(uint64_t value) {
  return (value + LM_ALIGNMENT - 1) & ~(uint64_t)(LM_ALIGNMENT - 1);
}

lm_dma_build_t lm_dma_build(const lm_dma_t* device) {
  return device->build;
}

lm_dma_layout_t lm_dma_layout(const lm_dma_t* device) {
  return device->layout;
}

void lm_dma_set_timeout(lm_dma_t* device, uint32_t timeout_ms) {
  device->timeout_ms = timeout_ms != 0 ? timeout_ms : DEFAULT_TIMEOUT_MS;
}

/* ---------------------------------------------------------------------------------------------- memory */

static void set_address(lm_dma_t* device, uint32_t low, uint64_t address) {
  lm_dma_set_register(device, low, (uint32_t)address);
  lm_dma_set_register(device, low + 4, (uint32_t)(address >> 32));
}

static void grant(lm_dma_t* device, uint32_t window, uint64_t base, uint64_t end, uint32_t flags) {
  const uint32_t at = LM_REG_WINDOW + window * LM_WINDOW_STRIDE;
  set_address(device, at + LM_WINDOW_BASE_LOW, base);
  set_address(device, at + LM_WINDOW_END_LOW, end);
  lm_dma_set_register(device, at + LM_WINDOW_FLAGS, flags);
}

/* "Windows" */
static void grant_all(lm_dma_t* device) {
  const lm_dma_layout_t* l = &device->layout;
  grant(device, 0, l->ring, l->completions, LM_WINDOW_FLAG_READ);
  grant(device, 1, l->completions, l->data, LM_WINDOW_FLAG_WRITE);
  grant(device, 2, l->data, l->data + l->data_bytes, LM_WINDOW_FLAG_READ | LM_WINDOW_FLAG_WRITE);
  for (uint32_t port = 0; port < device->build.ports; port++) {
    const lm_range_t* far = &device->memories[device->port_memories[port]];
    const uint64_t from = far == device->memories ? l->weights : far->address;
    /* In a memory of its own a part of the state lies beside the weights; in the first it is among the data */
    const int writes = far != device->memories && port >= 1 && port <= device->build.state_ports;
    grant(device, LM_WINDOWS - 1 + port, from, far->address + far->bytes, writes ? LM_WINDOW_FLAG_READ | LM_WINDOW_FLAG_WRITE : LM_WINDOW_FLAG_READ);
  }
}

static lm_dma_code_t divide(lm_dma_t* device, uint32_t ring_log2, uint64_t weight_bytes, lm_dma_error_t* error) {
  const uint64_t count = (uint64_t)1 << ring_log2, bytes = device->memories[0].bytes;
  lm_dma_layout_t l = {.ring = device->memories[0].address};
  l.completions = l.ring + count * LM_DESCRIPTOR;
  l.data = l.completions + count * LM_COMPLETION;
  const uint64_t end = (l.ring + bytes) & ~(uint64_t)(LM_ALIGNMENT - 1);
  if (weight_bytes <= bytes) l.weight_bytes = align(weight_bytes);
  if (weight_bytes > bytes || l.data > end || l.weight_bytes > end - l.data) {
    char expected[64], found[64];
    snprintf(expected, sizeof expected, "at least %" PRIu64 " bytes", count * (LM_DESCRIPTOR + LM_COMPLETION) + weight_bytes);
    snprintf(found, sizeof found, "%" PRIu64 " bytes", bytes);
    return lm_expected(error, LM_DMA_MEMORY, expected, found, "the device's memory is too small");
  }
  l.weights = end - l.weight_bytes;
  l.data_bytes = l.weights - l.data;
  device->layout = l;
  return LM_DMA_OK;
}

/* ---------------------------------------------------------------------------------------------- start */

static lm_dma_code_t look_for_id(lm_dma_t* device, uint32_t value, lm_dma_error_t* error) {
  (void)value;
  (void)error;
  return lm_dma_register(device, LM_REG_ID) != 0 ? LM_DMA_OK : LM_DMA_TIMEOUT;
}

static lm_dma_code_t foreign(const char* text, const char* format, uint32_t expected, uint32_t found, lm_dma_error_t* error) {
  char wanted[64], seen[64];
  snprintf(wanted, sizeof wanted, format, expected);
  snprintf(seen, sizeof seen, format, found);
  return lm_expected(error, LM_DMA_FOREIGN, wanted, seen, text);
}

static lm_dma_code_t identify(lm_dma_t* device, lm_dma_error_t* error) {
  const lm_dma_code_t code = lm_until(device, look_for_id, 0, "its id", NO_ANSWER, error);
  if (code != LM_DMA_OK) return code;
  const uint32_t id = lm_dma_register(device, LM_REG_ID), version = lm_dma_register(device, LM_REG_VERSION);
  const uint32_t contract = lm_dma_register(device, LM_REG_CONTRACT);
  if (id != LM_ID) return foreign("this is not our accelerator: wrong id", "0x%" PRIx32, LM_ID, id, error);
  if (version >> 16 != LM_VERSION >> 16)
    return foreign("device of another version", "major version %" PRIu32, LM_VERSION >> 16, version >> 16, error);
  if (contract != LM_CONTRACT)
    return foreign("device and host were built from different numbers: build both again", "0x%" PRIx32, LM_CONTRACT, contract, error);
  uint32_t words[sizeof(lm_dma_build_t) / 4];
  for (uint32_t i = 0; i < sizeof words / 4; i++) words[i] = lm_dma_register(device, LM_REG_BUILD_LANES + 4 * i);
  memcpy(&device->build, words, sizeof words);
  if (device->build.ports - 1 >= LM_PORT_PATTERN)
    return foreign("a device with no port, or more than there can be", "1 to %" PRIu32, LM_PORT_PATTERN, device->build.ports, error);
  if (device->build.state_ports >= device->build.ports || device->build.state_ports > LM_STATE_PARTS)
    return foreign("a device with more parts of the state than ports for them", "below %" PRIu32, device->build.ports, device->build.state_ports, error);
  return LM_DMA_OK;
}

lm_dma_code_t lm_dma_start(lm_dma_t* device, const lm_dma_setup_t* setup, lm_dma_error_t* error) {
  const lm_dma_setup_t s = setup != NULL ? *setup : (lm_dma_setup_t){0};
  const uint32_t ring_log2 = s.ring_log2 != 0 ? s.ring_log2 : DEFAULT_RING_LOG2;
  if (device == NULL) return lm_fail(error, LM_DMA_ARGUMENT, "lm_dma_start: a null pointer");
  if (ring_log2 < LM_RING_LOG2_MIN || ring_log2 > LM_RING_LOG2_MAX)
    return lm_fail(error, LM_DMA_ARGUMENT, "ring_log2 is %" PRIu32 ", not within %u to %u", ring_log2, LM_RING_LOG2_MIN, LM_RING_LOG2_MAX);
  lm_dma_set_timeout(device, s.timeout_ms);
  device->ring_log2 = 0;
  device->head = lm_dma_register(device, LM_REG_HEAD);
  lm_dma_code_t code = identify(device, error);
  if (code == LM_DMA_OK) code = divide(device, ring_log2, s.weight_bytes, error);
  if (code != LM_DMA_OK) return code;
  device->ring_log2 = ring_log2;
  lm_dma_set_register(device, LM_REG_ENABLE, 0);
  lm_dma_set_register(device, LM_REG_RING_LOG2, ring_log2);
  set_address(device, LM_REG_RING_LOW, device->layout.ring);
  set_address(device, LM_REG_COMPLETIONS_LOW, device->layout.completions);
  lm_dma_set_register(device, LM_REG_WATCHDOG, s.watchdog);
  grant_all(device);
  code = lm_dma_reset(device, error);
  if (code == LM_DMA_OK) lm_dma_set_register(device, LM_REG_ENABLE, 1);
  return code;
}

/* Whether it may be used; the device is started and in order. */
static lm_dma_code_t usable(const lm_dma_t* device, lm_dma_error_t* error) {
  if (device == NULL) return lm_fail(error, LM_DMA_ARGUMENT, "no device");
  if (device->ring_log2 == 0) return lm_fail(error, LM_DMA_ARGUMENT, "the device is not started: lm_dma_start");
  if (device->broken[0] != 0) return lm_fail(error, LM_DMA_BROKEN, "the device is out of order: %.200s", device->broken);
  return LM_DMA_OK;
}

lm_dma_code_t lm_dma_reserve_weights(lm_dma_t* device, uint64_t bytes, lm_dma_error_t* error) {
  lm_dma_code_t code = usable(device, error);
  if (code == LM_DMA_OK) code = divide(device, device->ring_log2, bytes, error);
  if (code == LM_DMA_OK) grant_all(device);
  return code;
}

lm_dma_code_t lm_dma_place_ports(lm_dma_t* device, const uint8_t* memories, uint32_t count, lm_dma_error_t* error) {
  const lm_dma_code_t code = usable(device, error);
  if (code != LM_DMA_OK) return code;
  if (memories == NULL || count > device->build.ports)
    return lm_fail(error, LM_DMA_ARGUMENT, "%" PRIu32 " ports, the device has %" PRIu32, count, device->build.ports);
  for (uint32_t port = 0; port < count; port++)
    if (memories[port] >= device->memory_count)
      return lm_fail(error, LM_DMA_ARGUMENT, "port %" PRIu32 ": no memory %u, there are %" PRIu32, port, memories[port], device->memory_count);
  if (count > 0) memcpy(device->port_memories, memories, count);
  grant_all(device);
  return LM_DMA_OK;
}

/* ---------------------------------------------------------------------------------------------- failures */

static void read_descriptor(const lm_dma_t* device, uint32_t sequence, lm_descriptor_t* descriptor) {
  const uint64_t address = device->layout.ring + (sequence % entries(device)) * LM_DESCRIPTOR;
  lm_copy_out((uint8_t*)descriptor, device->memories[0].at + (address - device->memories[0].address), sizeof *descriptor);
}

/* LM_DMA_TIMEOUT: it has not halted. Otherwise what it halted at; nothing runs any more, and it is reset. */
static lm_dma_code_t look_for_error(lm_dma_t* device, lm_dma_error_t* error) {
  if (lm_dma_register(device, LM_REG_STATE) != LM_STATE_HALTED) return LM_DMA_TIMEOUT;
  const uint32_t sequence = lm_dma_register(device, LM_REG_ERROR_SEQUENCE);
  const uint8_t status = (uint8_t)lm_dma_register(device, LM_REG_ERROR_STATUS);
  const uint64_t info = lm_wide(device, LM_REG_ERROR_INFO_LOW);
  lm_descriptor_t descriptor;
  read_descriptor(device, sequence, &descriptor);
  /* Where that fails, the next call says so */
  (void)lm_dma_reset(device, NULL);
  return lm_fail_command(error, &descriptor, sequence, status, info);
}

static lm_dma_code_t look_for_head(lm_dma_t* device, uint32_t head, lm_dma_error_t* error) {
  (void)error;
  return lm_dma_register(device, LM_REG_HEAD_SEEN) == head ? LM_DMA_OK : LM_DMA_TIMEOUT;
}

static lm_dma_code_t look_for_reset(lm_dma_t* device, uint32_t wanted, lm_dma_error_t* error) {
  (void)error;
  return lm_dma_register(device, LM_REG_RESETS) == wanted ? LM_DMA_OK : LM_DMA_TIMEOUT;
}

lm_dma_code_t lm_dma_reset(lm_dma_t* device, lm_dma_error_t* error) {
  if (device == NULL || device->ring_log2 == 0) return lm_fail(error, LM_DMA_ARGUMENT, "the device is not started: lm_dma_start");
  lm_dma_error_t here;
  const uint32_t wanted = lm_dma_register(device, LM_REG_RESETS) + 1;
  device->head = lm_dma_register(device, LM_REG_HEAD);
  /* Words may arrive in no order but that of the doorbell's: a late one must not count as rung after the reset */
  lm_dma_code_t code = lm_until(device, look_for_head, device->head, "the doorbell to be heard", NO_ANSWER, &here);
  if (code == LM_DMA_OK) {
    lm_dma_set_register(device, LM_REG_RESET, wanted);
    code = lm_until(device, look_for_reset, wanted, "the reset", NO_ANSWER, &here);
  }
  if (code == LM_DMA_OK) {
    device->broken[0] = 0;
    return code;
  }
  snprintf(device->broken, sizeof device->broken, "%s", here.text);
  if (error != NULL) *error = here;
  return code;
}

/* ---------------------------------------------------------------------------------------------- commands */

/* Room for what makes the head `end`. */
static lm_dma_code_t look_for_room(lm_dma_t* device, uint32_t end, lm_dma_error_t* error) {
  const uint32_t most = lm_dma_register(device, LM_REG_COMPLETED) + (uint32_t)entries(device);
  return lm_after(end, most) ? look_for_error(device, error) : LM_DMA_OK;
}

static lm_dma_code_t put(lm_dma_t* device, const lm_descriptor_t* list, uint32_t count, lm_dma_error_t* error) {
  const uint32_t end = device->head + count;
  const lm_dma_code_t code = lm_until(device, look_for_room, end, "room in the ring", "the ring is full", error);
  if (code != LM_DMA_OK) return code;
  for (uint32_t i = 0; i < count; i++) {
    lm_descriptor_t d = list[i];
    d.sequence = device->head + i;
    if (i == count - 1 && device->interrupts >= 0) d.flags |= LM_FLAG_INTERRUPT;
    d.check = lm_check(&d);
    const uint64_t address = device->layout.ring + (d.sequence % entries(device)) * LM_DESCRIPTOR;
    lm_copy_in(device->memories[0].at + (address - device->memories[0].address), (const uint8_t*)&d, sizeof d);
    (void)lm_dma_give(device, address, sizeof d, NULL);
  }
  device->head = end;
  lm_dma_set_register(device, LM_REG_HEAD, end);
  return LM_DMA_OK;
}

lm_dma_code_t lm_dma_submit(lm_dma_t* device, const lm_descriptor_t* list, size_t count, uint32_t* last, lm_dma_error_t* error) {
  lm_dma_code_t code = usable(device, error);
  if (code != LM_DMA_OK) return code;
  if (list == NULL || count == 0 || count > INT32_MAX) return lm_fail(error, LM_DMA_ARGUMENT, "a list of 1 to 2^31 - 1 descriptors is needed");
  /* More than the ring holds go in halves of it, so that the device works while the next ones come */
  const size_t most = count > entries(device) ? (size_t)entries(device) / 2 : count;
  for (size_t from = 0; from < count && code == LM_DMA_OK; from += most) {
    const size_t left = count - from;
    code = put(device, list + from, (uint32_t)(left < most ? left : most), error);
  }
  if (last != NULL) *last = device->head - 1;
  return code;
}

static lm_dma_code_t look_for_end(lm_dma_t* device, uint32_t sequence, lm_dma_error_t* error) {
  /* The counter first: an error that came before it shows in what is read next */
  const bool ended = lm_after(lm_dma_register(device, LM_REG_COMPLETED), sequence);
  const lm_dma_code_t code = look_for_error(device, error);
  return code == LM_DMA_TIMEOUT && ended ? LM_DMA_OK : code;
}

lm_dma_code_t lm_dma_wait(lm_dma_t* device, uint32_t sequence, lm_completion_t* completion, lm_dma_error_t* error) {
  lm_dma_code_t code = usable(device, error);
  if (code != LM_DMA_OK) return code;
  if (!lm_after(device->head, sequence))
    return lm_fail(error, LM_DMA_ARGUMENT, "command %" PRIu32 " is not in the ring: the next one will be %" PRIu32, sequence, device->head);
  lm_descriptor_t descriptor;
  char name[48], what[80];
  read_descriptor(device, sequence, &descriptor);
  lm_describe(&descriptor, name, sizeof name);
  snprintf(what, sizeof what, "command %" PRIu32 " (%s)", sequence, name);
  code = lm_until(device, look_for_end, sequence, what, NO_ANSWER, error);
  return code == LM_DMA_OK ? lm_dma_completion(device, sequence, completion, error) : code;
}

lm_dma_code_t lm_dma_completion(lm_dma_t* device, uint32_t sequence, lm_completion_t* completion, lm_dma_error_t* error) {
  const lm_dma_code_t code = usable(device, error);
  if (code != LM_DMA_OK) return code;
  const uint64_t address = device->layout.completions + (sequence % entries(device)) * LM_COMPLETION;
  lm_completion_t found;
  (void)lm_dma_take(device, address, sizeof found, NULL);
  lm_copy_out((uint8_t*)&found, device->memories[0].at + (address - device->memories[0].address), sizeof found);
  if (found.sequence != sequence || found.done != (sequence ^ LM_DONE_XOR)) {
    char expected[64], seen[64], text[96];
    snprintf(expected, sizeof expected, "number %" PRIu32, sequence);
    snprintf(seen, sizeof seen, "number %" PRIu32 ", last word 0x%08" PRIx32, found.sequence, found.done);
    snprintf(text, sizeof text, "command %" PRIu32 " has no completion in its place", sequence);
    return lm_expected(error, LM_DMA_LOST, expected, seen, text);
  }
  if (completion != NULL) *completion = found;
  return LM_DMA_OK;
}
