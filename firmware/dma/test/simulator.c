/* The library against the accelerator's RTL: the simulator is another process on the same memory. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define BYTES (4096 + (1 << 20))

typedef struct {
  test_memory memory;
  pid_t simulator;
  lm_dma_t* device;
  uint64_t data;
} fixture;

static void launch(fixture* f) {
  char region[48], parent[16];
  CHECK(simulator_program != NULL);
  snprintf(region, sizeof region, "4096,%d,4096", BYTES - 4096);
  snprintf(parent, sizeof parent, "%d", (int)getpid());
  f->simulator = fork();
  if (f->simulator != 0) return;
  execl(simulator_program, "sim", "--file", f->memory.path, "--registers", "0", "--region", region, "--parent", parent, (char*)NULL);
  _exit(127);
}

static void begin(fixture* f) {
  f->memory = test_make_memory(BYTES);
  launch(f);
  while (*(volatile const uint32_t*)(volatile const void*)(f->memory.at + LM_REG_ID) != LM_ID) test_sleep_ms(1);
  f->device = test_open(&f->memory);
  const lm_dma_setup_t setup = {.ring_log2 = 4, .weight_bytes = 65536};
  OK(lm_dma_start(f->device, &setup, &error));
  f->data = lm_dma_layout(f->device).data;
}

static void end(fixture* f) {
  kill(f->simulator, SIGKILL);
  waitpid(f->simulator, NULL, 0);
  lm_dma_close(f->device);
}

static lm_dma_code_t run(fixture* f, lm_descriptor_t d, lm_dma_error_t* error) {
  uint32_t last;
  const lm_dma_code_t code = lm_dma_submit(f->device, &d, 1, &last, error);
  return code == LM_DMA_OK ? lm_dma_wait(f->device, last, NULL, error) : code;
}

static void copies(fixture* f, uint32_t seed) {
  uint8_t data[6400], back[6400];
  for (uint32_t i = 0; i < sizeof data; i++) data[i] = test_noise(i + seed);
  OK(lm_dma_write(f->device, f->data, data, sizeof data, &error));
  OK(lm_dma_give(f->device, f->data, sizeof data, &error));
  OK(run(f, test_copy(f->data, f->data + 65536, sizeof data), &error));
  OK(lm_dma_take(f->device, f->data + 65536, sizeof back, &error));
  OK(lm_dma_read(f->device, f->data + 65536, back, sizeof back, &error));
  CHECK(memcmp(data, back, sizeof data) == 0);
}

static void works(void) {
  fixture f;
  begin(&f);
  for (uint32_t i = 0; i < 20; i++) copies(&f, i);
  CHECK(lm_dma_build(f.device).ports == 1 && (lm_dma_build(f.device).units & 1 << LM_UNIT_COPY) != 0);
  EXPECT(LM_DMA_COMMAND, "unknown opcode: found 0x63", run(&f, (lm_descriptor_t){.opcode = 99}, &error));
  copies(&f, 100);
  end(&f);
}

static void keeps_to_windows(void) {
  fixture f;
  begin(&f);
  const lm_dma_layout_t l = lm_dma_layout(f.device);
  const uint8_t marks[128] = {1, 2, 3};
  OK(lm_dma_write(f.device, l.weights, marks, sizeof marks, &error));
  /* Weights may be read, not written; nor may the ring, or what is no memory of the device's */
  OK(run(&f, test_copy(l.weights, l.data, 64), &error));
  const uint64_t forbidden[] = {l.weights, l.weights - 64, l.ring, 0, 0x100000000u};
  for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
    EXPECT(LM_DMA_COMMAND, "outside the windows granted to the device: address 0x", run(&f, test_copy(l.data, forbidden[i], 128), &error));
  CHECK(memcmp((const void*)(uintptr_t)(f.memory.at + l.weights), marks, sizeof marks) == 0);
  /* Windows that become smaller count from the next command on */
  OK(run(&f, test_copy(l.data, l.weights - 4096, 64), &error));
  OK(lm_dma_reserve_weights(f.device, 65536 + 8192, &error));
  EXPECT(LM_DMA_COMMAND, "outside the windows", run(&f, test_copy(l.data, l.weights - 4096, 64), &error));
  copies(&f, 3);
  end(&f);
}

static void is_frozen(void) {
  fixture f;
  begin(&f);
  copies(&f, 1);
  kill(f.simulator, SIGSTOP);
  lm_dma_set_timeout(f.device, 300);
  EXPECT(LM_DMA_TIMEOUT, "waited 300 ms for command 1 (COPY); state idle, heard of 1 of 2 commands, ended 1",
         run(&f, test_copy(f.data, f.data + 4096, 64), &error));
  CHECK(lm_dma_counts(f.device).doorbells_repeated == 1);
  kill(f.simulator, SIGCONT);
  lm_dma_set_timeout(f.device, 0);
  OK(lm_dma_reset(f.device, &error));
  copies(&f, 2);
  end(&f);
}

static void is_killed(void) {
  fixture f;
  begin(&f);
  copies(&f, 1);
  kill(f.simulator, SIGKILL);
  waitpid(f.simulator, NULL, 0);
  const double start = test_seconds();
  EXPECT(LM_DMA_GONE, "the process that played the device has ended, while waiting for command 1 (COPY)",
         run(&f, test_copy(f.data, f.data + 4096, 64), &error));
  CHECK(test_seconds() - start < 5);
  EXPECT(LM_DMA_BROKEN, "out of order: the process that played", run(&f, test_copy(f.data, f.data + 4096, 64), &error));
  /* Another one takes its place */
  launch(&f);
  OK(lm_dma_start(f.device, &(lm_dma_setup_t){.ring_log2 = 4}, &error));
  copies(&f, 2);
  end(&f);
}

static void refuses_a_second_process(void) {
  fixture f;
  begin(&f);
  char text[64];
  snprintf(text, sizeof text, "in use by process %d", (int)getpid());
  const pid_t child = fork();
  if (child == 0) {
    lm_dma_t* device;
    const lm_dma_options_t options = {.registers = f.memory.path};
    EXPECT(LM_DMA_IN_USE, text, lm_dma_open(&options, &device, &error));
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  copies(&f, 1);
  end(&f);
}

const test_case simulator_cases[] = {
  {"commands run, errors are told", works},
  {"the windows hold", keeps_to_windows},
  {"one that is stopped ends in a time-out, and goes on after a reset", is_frozen},
  {"one that is killed is noticed, and another takes its place", is_killed},
  {"a second process is refused while the first works", refuses_a_second_process},
  {NULL, NULL},
};
