/* The library against files, and against a device that a thread plays. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "player.h"

#define BYTES 65536 /* register page and memory */

/* A played device, started, with a ring of 16 */
typedef struct {
  test_memory memory;
  player player;
  lm_dma_t* device;
  uint64_t data;
} fixture;

static void begin_with(fixture* f, int interrupts, int line) {
  f->memory = test_make_memory(BYTES);
  player_start(&f->player, &f->memory, line);
  const lm_dma_options_t options = {.registers = f->memory.path, .interrupts = interrupts};
  OK(lm_dma_open(&options, &f->device, &error));
  const lm_dma_setup_t setup = {.ring_log2 = 4, .timeout_ms = 2000};
  OK(lm_dma_start(f->device, &setup, &error));
  f->data = lm_dma_layout(f->device).data;
}

static void begin(fixture* f) {
  begin_with(f, -1, -1);
}

static void end(fixture* f) {
  lm_dma_close(f->device);
  player_stop(&f->player);
}

static void run_copy(fixture* f) {
  uint8_t data[640], back[640];
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = test_noise(i + (uint32_t)test_seconds());
  OK(lm_dma_write(f->device, f->data, data, sizeof data, &error));
  OK(lm_dma_give(f->device, f->data, sizeof data, &error));
  const lm_descriptor_t copy = test_copy(f->data, f->data + 4096, sizeof data);
  uint32_t last;
  lm_completion_t completion;
  OK(lm_dma_submit(f->device, &copy, 1, &last, &error));
  OK(lm_dma_wait(f->device, last, &completion, &error));
  CHECK(completion.sequence == last && completion.opcode == LM_OP_COPY);
  OK(lm_dma_take(f->device, f->data + 4096, sizeof back, &error));
  OK(lm_dma_read(f->device, f->data + 4096, back, sizeof back, &error));
  CHECK(memcmp(data, back, sizeof data) == 0);
}

/* ---------------------------------------------------------------------------------------------- open */

static void refuses_arguments(void) {
  const test_memory m = test_make_memory(BYTES);
  const struct {
    lm_dma_options_t options;
    lm_dma_code_t code;
    const char* text;
  } bad[] = {
    {{0}, LM_DMA_ARGUMENT, "no node or file"},
    {{.registers = "/no/such/node"}, LM_DMA_SYSTEM, "/no/such/node: cannot be opened: No such file"},
    {{.registers = "/tmp"}, LM_DMA_SYSTEM, "Is a directory"},
    {{.registers = "/dev/null"}, LM_DMA_ARGUMENT, "where is its memory"},
    {{.registers = m.path, .register_offset = 100}, LM_DMA_ARGUMENT, "register_offset is not on a page"},
    {{.registers = m.path, .register_offset = BYTES}, LM_DMA_MEMORY, "no memory behind"},
    {{.registers = m.path, .register_offset = UINT64_MAX - 4095}, LM_DMA_ARGUMENT, "register_offset"},
    {{.registers = m.path, .memory_address = 4096}, LM_DMA_ARGUMENT, "memory_bytes is 0"},
    {{.registers = m.path, .memory = m.path}, LM_DMA_ARGUMENT, "memory_bytes is 0"},
    {{.registers = m.path, .memory_bytes = BYTES, .memory_offset = 4096}, LM_DMA_MEMORY, "shorter than the device's memory"},
    {{.registers = m.path, .memory_bytes = 4096, .memory_offset = 1}, LM_DMA_ARGUMENT, "memory_offset is not on a page"},
    {{.registers = m.path, .memory_bytes = 4096, .memory_address = 32}, LM_DMA_ARGUMENT, "memory_address is not a multiple of 64"},
    {{.registers = m.path, .memory_bytes = UINT64_MAX, .memory_address = 64}, LM_DMA_ARGUMENT, "beyond any memory"},
    {{.registers = m.path, .memory = "/no/memory", .memory_bytes = 4096}, LM_DMA_SYSTEM, "/no/memory: cannot be opened"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    lm_dma_t* device = (lm_dma_t*)1;
    EXPECT(bad[i].code, bad[i].text, lm_dma_open(&bad[i].options, &device, &error));
    CHECK(device == NULL);
  }
  lm_dma_t* device = test_open(&m);
  uint64_t value;
  uint8_t byte = 0;
  EXPECT(LM_DMA_ARGUMENT, "null", lm_dma_open(NULL, &device, &error));
  EXPECT(LM_DMA_MEMORY, "no map 7", lm_dma_uio_map("/dev/uio99", 7, &value, &value, &error));
  EXPECT(LM_DMA_ARGUMENT, "null", lm_dma_uio_map(NULL, 0, &value, &value, &error));
  EXPECT(LM_DMA_ARGUMENT, "not started", lm_dma_submit(device, NULL, 1, NULL, &error));
  EXPECT(LM_DMA_ARGUMENT, "not started", lm_dma_wait(device, 0, NULL, &error));
  EXPECT(LM_DMA_ARGUMENT, "not started", lm_dma_reset(device, &error));
  EXPECT(LM_DMA_ARGUMENT, "ring_log2 is 13", lm_dma_start(device, &(lm_dma_setup_t){.ring_log2 = 13}, &error));
  EXPECT(LM_DMA_ARGUMENT, "ring_log2 is 1,", lm_dma_start(device, &(lm_dma_setup_t){.ring_log2 = 1}, &error));
  EXPECT(LM_DMA_ARGUMENT, "not in the device's memory", lm_dma_write(device, 4095, &byte, 1, &error));
  EXPECT(LM_DMA_ARGUMENT, "not in the device's memory", lm_dma_read(device, BYTES, &byte, 1, &error));
  EXPECT(LM_DMA_ARGUMENT, "not in the device's memory", lm_dma_give(device, 4096, SIZE_MAX, &error));
  EXPECT(LM_DMA_ARGUMENT, "not in the device's memory", lm_dma_take(device, UINT64_MAX, 2, &error));
  OK(lm_dma_write(device, BYTES - 1, &byte, 1, &error));
  CHECK(lm_dma_write(device, 0, &byte, 1, NULL) == LM_DMA_ARGUMENT);
  CHECK(lm_dma_register(device, LM_REGISTER_PAGE) == 0 && lm_dma_register(device, 2) == 0);
  lm_dma_set_register(device, LM_REGISTER_PAGE, 77);
  CHECK(m.at[LM_REGISTER_PAGE] == 0);
  lm_dma_close(device);
  lm_dma_close(NULL);
}

static void finds_memory(void) {
  const test_memory registers = test_make_memory(8192), memory = test_make_memory(BYTES);
  lm_dma_t* device = test_open(&registers);
  CHECK(lm_dma_memory_address(device) == 4096 && lm_dma_memory_bytes(device) == 4096);
  lm_dma_close(device);
  const lm_dma_options_t options = {.registers = registers.path, .register_offset = 4096, .memory = memory.path,
                                    .memory_address = 0x60000000, .memory_bytes = 8192, .memory_offset = 16384};
  OK(lm_dma_open(&options, &device, &error));
  const uint8_t byte = 99;
  OK(lm_dma_write(device, 0x60000000 + 8191, &byte, 1, &error));
  CHECK(memory.at[16384 + 8191] == 99);
  lm_dma_set_register(device, LM_REG_HEAD, 0x01020304);
  CHECK(registers.at[4096 + LM_REG_HEAD] == 4 && registers.at[4096 + LM_REG_HEAD + 3] == 1);
  lm_dma_close(device);
}

/* A child that has the device open; it writes a byte when it has. */
static pid_t holder(const test_memory* m) {
  int ready[2];
  char byte = 0;
  CHECK(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    (void)test_open(m);
    CHECK(write(ready[1], &byte, 1) == 1);
    for (;;) pause();
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  return child;
}

static void is_for_one_process(void) {
  const test_memory m = test_make_memory(BYTES);
  const lm_dma_options_t options = {.registers = m.path};
  lm_dma_t *device, *second;
  const pid_t child = holder(&m);
  char text[64];
  snprintf(text, sizeof text, "in use by process %d", (int)child);
  EXPECT(LM_DMA_IN_USE, text, lm_dma_open(&options, &device, &error));
  /* Whatever ends the other process frees the device */
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
  device = test_open(&m);
  EXPECT(LM_DMA_IN_USE, "perhaps by this process itself", lm_dma_open(&options, &second, &error));
  lm_dma_close(device);
  lm_dma_close(test_open(&m));
}

/* ---------------------------------------------------------------------------------------------- start */

static void knows_who_is_there(void) {
  fixture f;
  f.memory = test_make_memory(BYTES);
  lm_dma_t* device = test_open(&f.memory);
  const lm_dma_setup_t setup = {.timeout_ms = 50, .ring_log2 = 4};
  EXPECT(LM_DMA_TIMEOUT, "waited 50 ms for its id", lm_dma_start(device, &setup, &error));
  player_start(&f.player, &f.memory, -1);
  const struct {
    uint32_t id, version, contract;
    const char *text, *expected, *found;
  } bad[] = {
    {0x12345678, LM_VERSION, LM_CONTRACT, "wrong id", "0x4c4d4241", "0x12345678"},
    {LM_ID, LM_VERSION + 0x10000, LM_CONTRACT, "another version", "major version 1", "major version 2"},
    {LM_ID, LM_VERSION, 1, "different numbers: build both again", "0x", "0x1"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    f.player.id = bad[i].id;
    f.player.version = bad[i].version;
    f.player.contract = bad[i].contract;
    test_sleep_ms(20);
    lm_dma_error_t told;
    CHECK(lm_dma_start(device, &setup, &told) == LM_DMA_FOREIGN && strstr(told.text, bad[i].text) != NULL);
    CHECK(strncmp(told.expected, bad[i].expected, strlen(bad[i].expected)) == 0 && strcmp(told.found, bad[i].found) == 0);
  }
  f.player.id = LM_ID;
  f.player.version = LM_VERSION;
  f.player.contract = LM_CONTRACT;
  volatile uint32_t* parts = (volatile uint32_t*)(f.player.page + LM_REG_BUILD_STATE_PORTS);
  *parts = 41;
  test_sleep_ms(20);
  EXPECT(LM_DMA_FOREIGN, "more parts of the state than ports", lm_dma_start(device, &setup, &error));
  *parts = 0;
  f.player.version = LM_VERSION + 1; /* a later minor version */
  test_sleep_ms(20);
  OK(lm_dma_start(device, &setup, &error));
  const lm_dma_build_t build = lm_dma_build(device);
  CHECK(build.lanes == 40 && build.units == 50 && build.max_log2 == 56);
  f.player.frozen = true;
  EXPECT(LM_DMA_TIMEOUT, "waited 50 ms for the reset", lm_dma_start(device, &setup, &error));
  lm_dma_close(device);
  player_stop(&f.player);
}

static void has_several_memories(void) {
  fixture f;
  begin(&f);
  const uint32_t far = LM_REG_WINDOW + 5 * LM_WINDOW_STRIDE;
  test_memory more = test_make_memory(8192);
  const uint64_t at = 0x50000000000;
  uint64_t address, bytes;
  CHECK(lm_dma_memory_count(f.device) == 1 && !lm_dma_memory(f.device, 1, &address, &bytes));
  const uint8_t wanted[] = {0, 0, 1};
  EXPECT(LM_DMA_ARGUMENT, "port 2: no memory 1", lm_dma_place_ports(f.device, wanted, 3, &error));
  EXPECT(LM_DMA_ARGUMENT, "64 ports, the device has 41", lm_dma_place_ports(f.device, wanted, 64, &error));
  EXPECT(LM_DMA_ARGUMENT, "memory_bytes is 0", lm_dma_add_memory(f.device, more.path, at, 0, 0, &error));
  EXPECT(LM_DMA_ARGUMENT, "overlaps that at 0x1000", lm_dma_add_memory(f.device, more.path, 8192, 4096, 0, &error));
  EXPECT(LM_DMA_ARGUMENT, "not a multiple", lm_dma_add_memory(f.device, more.path, at + 8, 4096, 0, &error));
  EXPECT(LM_DMA_MEMORY, "shorter than", lm_dma_add_memory(f.device, more.path, at, 4096, 8192, &error));
  EXPECT(LM_DMA_SYSTEM, "cannot be opened", lm_dma_add_memory(f.device, "/nowhere", at, 4096, 0, &error));
  OK(lm_dma_add_memory(f.device, more.path, at, 4096, 4096, &error));
  CHECK(lm_dma_memory(f.device, 1, &address, &bytes) && address == at && bytes == 4096);
  OK(lm_dma_write(f.device, at + 4088, "weights", 8, &error));
  CHECK(more.at[8184] == 'w' && more.at[8190] == 's');
  EXPECT(LM_DMA_ARGUMENT, "not in the device's memory", lm_dma_write(f.device, at + 4089, "weights", 8, &error));
  CHECK(lm_dma_register(f.device, far + LM_WINDOW_BASE_HIGH) == 0);
  OK(lm_dma_place_ports(f.device, wanted, 3, &error));
  CHECK(lm_dma_register(f.device, far + LM_WINDOW_BASE_HIGH) == 0x500 && lm_dma_register(f.device, far + LM_WINDOW_END_LOW) == 4096);
  CHECK(lm_dma_register(f.device, far - LM_WINDOW_STRIDE + LM_WINDOW_BASE_HIGH) == 0);
  for (uint64_t i = 1; i < LM_DMA_MEMORIES - 1; i++) OK(lm_dma_add_memory(f.device, more.path, at + 4096 * i, 4096, 0, &error));
  EXPECT(LM_DMA_ARGUMENT, "more than 8 memories", lm_dma_add_memory(f.device, more.path, 2 * at, 4096, 0, &error));
  end(&f);
}

static void divides_memory(void) {
  fixture f;
  begin(&f);
  const lm_dma_layout_t l = lm_dma_layout(f.device);
  CHECK(l.ring == 4096 && l.completions == 4096 + 1024 && l.data == 4096 + 2048);
  CHECK(l.weights == BYTES && l.weight_bytes == 0 && l.data_bytes == BYTES - l.data);
  OK(lm_dma_reserve_weights(f.device, 1000, &error));
  CHECK(lm_dma_layout(f.device).weights == BYTES - 1024);
  CHECK(lm_dma_register(f.device, LM_REG_WINDOW + 2 * LM_WINDOW_STRIDE + LM_WINDOW_END_LOW) == BYTES - 1024);
  CHECK(lm_dma_register(f.device, LM_REG_WINDOW + 3 * LM_WINDOW_STRIDE + LM_WINDOW_FLAGS) == LM_WINDOW_FLAG_READ);
  CHECK(lm_dma_register(f.device, LM_REG_WINDOW + LM_WINDOW_FLAGS) == LM_WINDOW_FLAG_READ);
  CHECK(lm_dma_register(f.device, LM_REG_WINDOW + LM_WINDOW_STRIDE + LM_WINDOW_FLAGS) == LM_WINDOW_FLAG_WRITE);
  EXPECT(LM_DMA_MEMORY, "too small", lm_dma_reserve_weights(f.device, BYTES - 4096, &error));
  EXPECT(LM_DMA_MEMORY, "too small", lm_dma_reserve_weights(f.device, UINT64_MAX, &error));
  CHECK(lm_dma_layout(f.device).weights == BYTES - 1024);
  EXPECT(LM_DMA_MEMORY, "too small", lm_dma_start(f.device, &(lm_dma_setup_t){.ring_log2 = 9}, &error));
  EXPECT(LM_DMA_ARGUMENT, "not started", lm_dma_submit(f.device, NULL, 1, NULL, &error));
  end(&f);
}

/* ---------------------------------------------------------------------------------------------- memory */

static void copies_any_range(void) {
  fixture f;
  begin(&f);
  uint8_t from[64], back[64], around[96];
  for (uint32_t i = 0; i < sizeof from; i++) from[i] = test_noise(i);
  for (size_t at = 0; at < 9; at++) {
    for (size_t skew = 0; skew < 9; skew++) {
      for (size_t bytes = 0; bytes < 40; bytes++) {
        memset(around, 0xaa, sizeof around);
        OK(lm_dma_write(f.device, f.data, around, sizeof around, &error));
        OK(lm_dma_write(f.device, f.data + 8 + at, from + skew, bytes, &error));
        memcpy(around + 8 + at, from + skew, bytes);
        CHECK(memcmp(around, (const void*)(uintptr_t)(f.memory.at + f.data), sizeof around) == 0);
        OK(lm_dma_read(f.device, f.data + 8 + at, back + skew, bytes, &error));
        CHECK(memcmp(back + skew, from + skew, bytes) == 0);
      }
    }
  }
  end(&f);
}

static void counts_hand_overs(void) {
  fixture f;
  begin(&f);
  const lm_dma_counts_t before = lm_dma_counts(f.device);
  run_copy(&f);
  const lm_dma_counts_t after = lm_dma_counts(f.device);
  /* data and descriptor; completion and data */
  CHECK(after.gives - before.gives == 2 && after.takes - before.takes == 2);
  CHECK(lm_dma_give(f.device, 0, 1, NULL) == LM_DMA_ARGUMENT && lm_dma_counts(f.device).gives == after.gives);
  end(&f);
}

static void loads_files(void) {
  const size_t bytes = 200000, skip = 77, length = 150001;
  const test_memory m = test_make_memory(4096 + 262144);
  lm_dma_t* device = test_open(&m);
  const int fd = memfd_create("weights", 0);
  uint8_t* data = malloc(bytes);
  CHECK(data != NULL);
  for (uint32_t i = 0; i < bytes; i++) data[i] = test_noise(i);
  CHECK(write(fd, data, bytes) == (ssize_t)bytes);
  OK(lm_dma_load_file(device, fd, skip, length, 4096 + 129, &error));
  CHECK(memcmp(data + skip, (const void*)(uintptr_t)(m.at + 4096 + 129), length) == 0);
  CHECK(m.at[4096 + 128] == 0 && m.at[4096 + 129 + length] == 0);
  CHECK(lm_dma_counts(device).gives == 1);
  lm_dma_error_t told;
  CHECK(lm_dma_load_file(device, fd, 1000, bytes, 4096, &told) == LM_DMA_SYSTEM);
  CHECK(strcmp(told.text, "the file ends early") == 0 && strcmp(told.expected, "201000 bytes") == 0 && strcmp(told.found, "200000") == 0);
  EXPECT(LM_DMA_ARGUMENT, "not in the device's memory", lm_dma_load_file(device, fd, 0, bytes, 4096 + 100000, &error));
  EXPECT(LM_DMA_ARGUMENT, "no such place", lm_dma_load_file(device, fd, UINT64_MAX, 1, 4096, &error));
  EXPECT(LM_DMA_SYSTEM, "Bad file descriptor", lm_dma_load_file(device, 999, 0, 1, 4096, &error));
  OK(lm_dma_load_file(device, fd, bytes, 0, 4096, &error));
  free(data);
  lm_dma_close(device);
}

/* ---------------------------------------------------------------------------------------------- commands */

static void runs_lap_after_lap(void) {
  fixture f;
  begin(&f);
  lm_descriptor_t list[100];
  memset(list, 0, sizeof list);
  uint32_t last;
  run_copy(&f);
  for (int lap = 0; lap < 5; lap++) OK(lm_dma_submit(f.device, list, 16, &last, &error));
  OK(lm_dma_submit(f.device, list, 100, &last, &error)); /* more than the ring holds */
  OK(lm_dma_wait(f.device, last, NULL, &error));
  CHECK(last == 180);
  EXPECT(LM_DMA_LOST, "command 100 has no completion in its place", lm_dma_completion(f.device, 100, NULL, &error));
  EXPECT(LM_DMA_ARGUMENT, "command 181 is not in the ring: the next one will be 181", lm_dma_wait(f.device, 181, NULL, &error));
  EXPECT(LM_DMA_ARGUMENT, "a list of", lm_dma_submit(f.device, list, 0, &last, &error));
  EXPECT(LM_DMA_ARGUMENT, "a list of", lm_dma_submit(f.device, NULL, 1, &last, &error));
  run_copy(&f);
  end(&f);
}

static void counts_on_over_2_32(void) {
  fixture f;
  begin(&f);
  lm_dma_set_register(f.device, LM_REG_HEAD, 0xfffffffau);
  OK(lm_dma_start(f.device, &(lm_dma_setup_t){.ring_log2 = 2, .timeout_ms = 2000}, &error));
  f.data = lm_dma_layout(f.device).data;
  for (int i = 0; i < 12; i++) run_copy(&f);
  CHECK(lm_dma_register(f.device, LM_REG_HEAD) == 6);
  end(&f);
}

static void tells_what_failed(void) {
  fixture f;
  begin(&f);
  const lm_descriptor_t list[] = {{.opcode = LM_OP_NOP}, {.opcode = 99, .layer = 7}, {.opcode = LM_OP_NOP}};
  uint32_t last;
  lm_dma_error_t told;
  run_copy(&f);
  OK(lm_dma_submit(f.device, list, 3, &last, &error));
  CHECK(lm_dma_wait(f.device, last, NULL, &told) == LM_DMA_COMMAND);
  CHECK(strcmp(told.text, "command 2 (opcode 0x63, layer 7): unknown opcode: found 0x63") == 0);
  CHECK(told.sequence == 2 && told.status == LM_STATUS_OPCODE && told.info == 99);
  run_copy(&f);
  /* One that the ring is too full for says the same */
  OK(lm_dma_submit(f.device, list, 3, &last, &error));
  lm_dma_code_t code = LM_DMA_OK;
  for (int i = 0; i < 20 && code == LM_DMA_OK; i++) code = lm_dma_submit(f.device, list, 1, &last, NULL);
  CHECK(code == LM_DMA_COMMAND);
  run_copy(&f);
  /* A place in the ring that was overwritten */
  f.player.frozen = true;
  OK(lm_dma_submit(f.device, list, 1, &last, &error));
  f.memory.at[lm_dma_layout(f.device).ring + (last % 16) * 64 + LM_DESC_COUNT] ^= 1;
  f.player.frozen = false;
  EXPECT(LM_DMA_COMMAND, "check word does not fit", lm_dma_wait(f.device, last, NULL, &error));
  run_copy(&f);
  end(&f);
}

static void takes_no_wrong_completion(void) {
  fixture f;
  begin(&f);
  const lm_descriptor_t nops[3] = {0};
  uint32_t last;
  run_copy(&f);
  atomic_bool* const faults[] = {&f.player.no_completion, &f.player.torn, &f.player.renumbered, &f.player.wrong_place};
  for (int i = 0; i < 4; i++) {
    *faults[i] = true;
    OK(lm_dma_submit(f.device, nops, 1, &last, &error));
    EXPECT(LM_DMA_LOST, "has no completion in its place", lm_dma_wait(f.device, last, NULL, &error));
    *faults[i] = false;
    run_copy(&f);
  }
  /* Order in memory does not matter: COMPLETED comes last */
  f.player.backwards = true;
  OK(lm_dma_submit(f.device, nops, 3, &last, &error));
  for (uint32_t i = 0; i < 3; i++) {
    lm_completion_t completion;
    OK(lm_dma_wait(f.device, last - i, &completion, &error));
    CHECK(completion.sequence == last - i);
  }
  f.player.backwards = false;
  run_copy(&f);
  end(&f);
}

/* ---------------------------------------------------------------------------------------------- waiting */

static void gives_up_in_time(void) {
  fixture f;
  begin(&f);
  const lm_descriptor_t copy = test_copy(f.data, f.data + 4096, 64);
  lm_descriptor_t nops[40] = {0};
  uint32_t last;
  run_copy(&f);
  lm_dma_set_timeout(f.device, 200);
  f.player.frozen = true;
  OK(lm_dma_submit(f.device, &copy, 1, &last, &error));
  const double start = test_seconds();
  EXPECT(LM_DMA_TIMEOUT, "no answer from the device: waited 200 ms for command 1 (COPY); state idle, heard of 1 of 2 commands, ended 1",
         lm_dma_wait(f.device, last, NULL, &error));
  CHECK(test_seconds() - start > 0.19 && test_seconds() - start < 5);
  EXPECT(LM_DMA_TIMEOUT, "the ring is full: waited 200 ms for room in the ring", lm_dma_submit(f.device, nops, 40, &last, &error));
  EXPECT(LM_DMA_TIMEOUT, "the doorbell to be heard", lm_dma_reset(f.device, &error));
  EXPECT(LM_DMA_BROKEN, "out of order: no answer from the device", lm_dma_wait(f.device, last, NULL, &error));
  f.player.frozen = false;
  OK(lm_dma_reset(f.device, &error));
  run_copy(&f);
  /* Slow, but each in time */
  f.player.command_ms = 100;
  OK(lm_dma_submit(f.device, nops, 8, &last, &error));
  OK(lm_dma_wait(f.device, last, NULL, &error));
  end(&f);
}

static void rings_again(void) {
  fixture f;
  begin(&f);
  lm_dma_set_timeout(f.device, 2000);
  f.player.lose_doorbell = true;
  run_copy(&f);
  CHECK(lm_dma_counts(f.device).doorbells_repeated == 1);
  run_copy(&f);
  CHECK(lm_dma_counts(f.device).doorbells_repeated == 1);
  /* One that nobody of ours rang is forgotten by a reset */
  f.player.frozen = true;
  lm_dma_set_register(f.device, LM_REG_HEAD, 5);
  f.player.frozen = false;
  OK(lm_dma_reset(f.device, &error));
  run_copy(&f);
  end(&f);
}

static void sleeps_until_an_interrupt(void) {
  fixture f;
  int line[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, line) == 0);
  begin_with(&f, line[0], line[1]);
  CHECK(lm_dma_has_interrupts(f.device));
  lm_descriptor_t nops[3] = {0};
  uint32_t last;
  f.player.command_ms = 3;
  const lm_dma_counts_t before = lm_dma_counts(f.device);
  for (int i = 0; i < 20; i++) {
    OK(lm_dma_submit(f.device, nops, 3, &last, &error));
    OK(lm_dma_wait(f.device, last, NULL, &error));
  }
  const lm_dma_counts_t after = lm_dma_counts(f.device);
  /* One flag a list; one interrupt ends most waits. A busy machine may finish before the host looks. */
  CHECK(f.player.interrupts_asked == 20 && f.player.armed >= 10);
  CHECK(after.interrupts - before.interrupts >= 10);
  /* An error comes with one too */
  nops[1].opcode = 99;
  OK(lm_dma_submit(f.device, nops, 3, &last, &error));
  EXPECT(LM_DMA_COMMAND, "unknown opcode", lm_dma_wait(f.device, last, NULL, &error));
  end(&f);
}

static void survives_a_lost_interrupt(void) {
  fixture f;
  int line[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, line) == 0);
  begin_with(&f, line[0], line[1]);
  f.player.no_interrupt = true;
  f.player.command_ms = 3;
  const double start = test_seconds();
  for (int i = 0; i < 10; i++) run_copy(&f);
  CHECK(lm_dma_counts(f.device).interrupts == 0 && test_seconds() - start < 2);
  /* A line that is gone is no reason to spin */
  f.player.command_ms = 200;
  f.player.line = -1;
  close(line[1]);
  const uint64_t sleeps = lm_dma_counts(f.device).sleeps;
  signal(SIGPIPE, SIG_IGN);
  run_copy(&f);
  CHECK(lm_dma_counts(f.device).sleeps - sleeps < 6000);
  end(&f);
}

const test_case unit_cases[] = {
  {"bad arguments are refused, one by one", refuses_arguments},
  {"memory is found, behind the registers or elsewhere", finds_memory},
  {"a device is for one process", is_for_one_process},
  {"nobody, somebody else, another version or other numbers: a clear error", knows_who_is_there},
  {"there may be several memories", has_several_memories},
  {"memory is divided, and windows granted", divides_memory},
  {"any range is copied, and nothing beside it", copies_any_range},
  {"each hand-over is counted", counts_hand_overs},
  {"files are loaded, or the error says why not", loads_files},
  {"the ring is used lap after lap", runs_lap_after_lap},
  {"numbers go on over 2^32", counts_on_over_2_32},
  {"an error names the command, and the device is usable again", tells_what_failed},
  {"a stale, torn or misplaced completion is no completion; their order does not matter", takes_no_wrong_completion},
  {"a frozen device ends in a time-out, a slow one does not", gives_up_in_time},
  {"a doorbell that was not heard is rung again", rings_again},
  {"an interrupt ends a sleep", sleeps_until_an_interrupt},
  {"a lost interrupt costs milliseconds", survives_a_lost_interrupt},
  {NULL, NULL},
};
