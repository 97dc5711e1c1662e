/* lm_dma_test --list: the cases. lm_dma_test CASE [SIMULATOR]: one of them. */
#define _GNU_SOURCE /* memfd_create */
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

const char* simulator_program;

_Noreturn void test_fail(const char* file, int line, const char* what, const lm_dma_error_t* error) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  if (error != NULL) fprintf(stderr, "  code %d: %s (expected %s, found %s)\n", (int)error->code, error->text, error->expected, error->found);
  exit(1);
}

void test_sleep_ms(unsigned milliseconds) {
  const struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000 + 10000};
  nanosleep(&time, NULL);
}

double test_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

uint8_t test_noise(uint32_t index) {
  return (uint8_t)((index * 2654435761u) >> 24);
}

test_memory test_make_memory(size_t bytes) {
  test_memory m = {.fd = memfd_create("lm_dma_test", 0), .bytes = bytes};
  CHECK(m.fd >= 0 && ftruncate(m.fd, (off_t)bytes) == 0);
  snprintf(m.path, sizeof m.path, "/proc/self/fd/%d", m.fd);
  void* at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0);
  CHECK(at != MAP_FAILED);
  m.at = at;
  return m;
}

lm_dma_t* test_open(const test_memory* memory) {
  lm_dma_t* device;
  const lm_dma_options_t options = {.registers = memory->path};
  OK(lm_dma_open(&options, &device, &error));
  return device;
}

int main(int count, char** arguments) {
  const test_case* const lists[] = {unit_cases, simulator_cases};
  if (count < 2) return 2;
  simulator_program = count > 2 ? arguments[2] : NULL;
  const bool all = strcmp(arguments[1], "--list") == 0;
  for (int l = 0; l < 2; l++) {
    for (const test_case* c = lists[l]; c->name != NULL; c++) {
      if (all) printf("%s%s\n", l == 0 ? "" : "simulator: ", c->name);
      if (all || strcmp(arguments[1], c->name) != 0) continue;
      c->run();
      return 0;
    }
  }
  if (!all) fprintf(stderr, "no such case: %s\n", arguments[1]);
  return all ? 0 : 2;
}
