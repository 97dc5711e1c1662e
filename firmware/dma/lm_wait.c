/*
 * Waiting. First a short spin, since most commands are over soon; then sleeps, each ended by an interrupt where there are some. A sleep is short in
 * any case, so an interrupt that is lost costs a few milliseconds and no more.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lm_dma_internal.h"

#define SPIN_US 50
#define INTERRUPT_SLEEP_US 10000 /* at most, with interrupts */
#define POLL_SLEEP_US 50         /* without: at first, */
#define LONG_SLEEP_US 1000       /* and after LONG_AFTER_US */
#define LONG_AFTER_US 100000
#define LOOK_FOR_LIFE_US 20000

static uint64_t now_us(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000u;
}

/* ---------------------------------------------------------------------------------------------- interrupts */

bool lm_dma_has_interrupts(const lm_dma_t* device) {
  return device->interrupts >= 0;
}

/* UIO masks the interrupt when one has come; a write of 1 lets the next one through. A node without that has nothing to mask. */
void lm_dma_arm(lm_dma_t* device) {
  const uint32_t on = 1;
  if (device->interrupts >= 0) (void)!write(device->interrupts, &on, sizeof on);
}

static void sleep_us(uint32_t microseconds) {
  const struct timespec time = {.tv_sec = microseconds / 1000000, .tv_nsec = (long)(microseconds % 1000000) * 1000};
  nanosleep(&time, NULL);
}

bool lm_dma_sleep(lm_dma_t* device, uint32_t microseconds) {
  device->counts.sleeps++;
  if (device->interrupts < 0) {
    sleep_us(microseconds);
    return false;
  }
  struct pollfd ready = {.fd = device->interrupts, .events = POLLIN};
  if (poll(&ready, 1, (int)(microseconds / 1000 + (microseconds % 1000 != 0))) == 0) return false;
  uint32_t number;
  if ((ready.revents & POLLIN) != 0 && read(device->interrupts, &number, sizeof number) == sizeof number) {
    device->counts.interrupts++;
    return true;
  }
  sleep_us(POLL_SLEEP_US); /* a node that is gone is ready at once, always */
  return false;
}

/* ---------------------------------------------------------------------------------------------- the wait */

static lm_dma_code_t timed_out(lm_dma_t* device, const char* what, const char* problem, lm_dma_error_t* error) {
  static const char* const states[] = {"idle", "running", "halted", "aborting"};
  const uint32_t state = lm_dma_register(device, LM_REG_STATE), seen = lm_dma_register(device, LM_REG_HEAD_SEEN);
  return lm_fail(error, LM_DMA_TIMEOUT, "%s: waited %" PRIu32 " ms for %s; state %s, heard of %" PRIu32 " of %" PRIu32 " commands, ended %" PRIu32,
                 problem, device->timeout_ms, what, state < 4 ? states[state] : "unknown", seen, device->head,
                 lm_dma_register(device, LM_REG_COMPLETED));
}

static lm_dma_code_t gone(lm_dma_t* device, const char* what, lm_dma_error_t* error) {
  snprintf(device->broken, sizeof device->broken, "the process that played the device has ended");
  return lm_fail(error, LM_DMA_GONE, "%s, while waiting for %s", device->broken, what);
}

lm_dma_code_t lm_until(lm_dma_t* device, lm_look_t look, uint32_t value, const char* what, const char* problem, lm_dma_error_t* error) {
  const uint64_t limit = (uint64_t)device->timeout_ms * 1000;
  uint64_t start = 0, looked = 0;
  uint32_t completed = 0;
  bool repeated = false, armed = false;
  for (;;) {
    const lm_dma_code_t code = look(device, value, error);
    if (code != LM_DMA_TIMEOUT) return code;
    const uint64_t now = now_us();
    if (start == 0) {
      start = looked = now;
      completed = lm_dma_register(device, LM_REG_COMPLETED);
    }
    uint64_t elapsed = now - start;
    if (elapsed > limit) {
      const uint32_t reached = lm_dma_register(device, LM_REG_COMPLETED);
      if (reached == completed) return timed_out(device, what, problem, error);
      completed = reached;
      start = now;
      elapsed = 0;
    }
    if (now - looked > LOOK_FOR_LIFE_US) {
      looked = now;
      if (lm_dma_gone(device)) return gone(device, what, error);
    }
    if (!repeated && elapsed > limit / 4 && lm_dma_register(device, LM_REG_HEAD_SEEN) != device->head) {
      repeated = true;
      device->counts.doorbells_repeated++;
      lm_dma_set_register(device, LM_REG_HEAD, device->head);
    }
    if (elapsed < SPIN_US) continue;
    /* What is waited for may have come between the look and the arming: look again before sleeping */
    if (device->interrupts >= 0 && !armed) {
      lm_dma_arm(device);
      armed = true;
      continue;
    }
    uint64_t sleep = device->interrupts >= 0 ? INTERRUPT_SLEEP_US : elapsed < LONG_AFTER_US ? POLL_SLEEP_US : LONG_SLEEP_US;
    if (sleep > limit - elapsed) sleep = limit - elapsed + 1;
    armed = !lm_dma_sleep(device, (uint32_t)sleep);
  }
}
