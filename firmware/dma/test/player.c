#include "player.h"

#include <sys/socket.h>
#include <unistd.h>

static uint32_t get(const player* p, uint32_t offset) {
  return __atomic_load_n((const uint32_t*)(uintptr_t)(p->page + offset), __ATOMIC_SEQ_CST);
}

static void set(const player* p, uint32_t offset, uint32_t value) {
  __atomic_store_n((uint32_t*)(uintptr_t)(p->page + offset), value, __ATOMIC_SEQ_CST);
}

static uint8_t* at(const player* p, uint64_t address) {
  return (uint8_t*)(uintptr_t)(p->page + address);
}

static uint64_t address_of(const player* p, uint32_t low) {
  return (uint64_t)get(p, low + 4) << 32 | get(p, low);
}

static uint8_t perform(const player* p, const lm_descriptor_t* d, uint32_t sequence, uint64_t* info) {
  *info = 0;
  if (d->check != lm_check(d)) return LM_STATUS_CHECK;
  *info = sequence;
  if (d->sequence != sequence) return LM_STATUS_SEQUENCE;
  *info = d->opcode;
  if (d->opcode == LM_OP_COPY) memcpy(at(p, d->address[1]), at(p, d->address[0]), d->count);
  else if (d->opcode != LM_OP_NOP) return LM_STATUS_OPCODE;
  return LM_STATUS_OK;
}

static void complete(const player* p, uint32_t sequence, uint8_t opcode) {
  if (p->no_completion) return;
  lm_completion_t c = {.sequence = sequence, .opcode = opcode, .done = sequence ^ LM_DONE_XOR};
  if (p->torn) c.done ^= 1;
  if (p->renumbered) c.sequence ^= 1;
  const uint32_t place = (sequence + (p->wrong_place ? 1 : 0)) & ((1u << get(p, LM_REG_RING_LOG2)) - 1);
  memcpy(at(p, address_of(p, LM_REG_COMPLETIONS_LOW) + place * sizeof c), &c, sizeof c);
}

static void interrupt(const player* p) {
  const uint32_t number = 1;
  if (p->line >= 0 && !p->no_interrupt) CHECK(write(p->line, &number, sizeof number) == sizeof number);
}

static void halt(const player* p, uint32_t sequence, uint8_t status, uint64_t info) {
  set(p, LM_REG_ERROR_SEQUENCE, sequence);
  set(p, LM_REG_ERROR_STATUS, status);
  set(p, LM_REG_ERROR_INFO_LOW, (uint32_t)info);
  set(p, LM_REG_ERROR_INFO_HIGH, (uint32_t)(info >> 32));
  set(p, LM_REG_ERRORS, get(p, LM_REG_ERRORS) + 1);
  set(p, LM_REG_STATE, LM_STATE_HALTED);
  interrupt(p);
}

/* Everything from `next` up to the doorbell. Returns what comes next. */
static uint32_t work(player* p, uint32_t next) {
  const uint32_t head = get(p, LM_REG_HEAD), mask = (1u << get(p, LM_REG_RING_LOG2)) - 1;
  bool asked = false;
  uint32_t first = next;
  for (; next != head && get(p, LM_REG_RESET) == get(p, LM_REG_RESETS); next++) {
    lm_descriptor_t d;
    uint64_t info;
    memcpy(&d, at(p, address_of(p, LM_REG_RING_LOW) + (next & mask) * sizeof d), sizeof d);
    if (p->command_ms != 0) test_sleep_ms(p->command_ms);
    const uint8_t status = perform(p, &d, next, &info);
    if (status != LM_STATUS_OK) {
      halt(p, next, status, info);
      return head;
    }
    asked |= (d.flags & LM_FLAG_INTERRUPT) != 0;
    p->interrupts_asked += (d.flags & LM_FLAG_INTERRUPT) != 0;
    if (p->backwards) continue;
    complete(p, next, d.opcode);
    set(p, LM_REG_COMPLETED, next + 1);
  }
  for (uint32_t n = next; p->backwards && n-- != first;) complete(p, n, LM_OP_NOP);
  set(p, LM_REG_COMPLETED, next);
  if (asked) interrupt(p);
  return next;
}

static void* play(void* argument) {
  player* p = argument;
  uint32_t next = get(p, LM_REG_HEAD);
  while (!p->stop) {
    set(p, LM_REG_VERSION, p->version);
    set(p, LM_REG_CONTRACT, p->contract);
    set(p, LM_REG_ID, p->id);
    uint32_t on;
    while (p->line >= 0 && recv(p->line, &on, sizeof on, MSG_DONTWAIT) == sizeof on) p->armed += on;
    test_sleep_ms(0);
    if (p->frozen) continue;
    if (p->lose_doorbell && get(p, LM_REG_HEAD) != next) {
      set(p, LM_REG_HEAD, next);
      p->lose_doorbell = false;
    }
    set(p, LM_REG_HEAD_SEEN, get(p, LM_REG_HEAD));
    if (get(p, LM_REG_RESET) != get(p, LM_REG_RESETS)) {
      next = get(p, LM_REG_HEAD);
      set(p, LM_REG_COMPLETED, next);
      set(p, LM_REG_STATE, LM_STATE_IDLE);
      set(p, LM_REG_RESETS, get(p, LM_REG_RESET));
    } else if (get(p, LM_REG_ENABLE) == 1 && get(p, LM_REG_STATE) != LM_STATE_HALTED) next = work(p, next);
  }
  return NULL;
}

void player_start(player* p, const test_memory* memory, int line) {
  memset(p, 0, sizeof *p);
  p->page = memory->at;
  p->line = line;
  p->id = LM_ID;
  p->version = LM_VERSION;
  p->contract = LM_CONTRACT;
  for (uint32_t i = 0; i < 17; i++) set(p, LM_REG_BUILD_LANES + 4 * i, 40 + i);
  CHECK(pthread_create(&p->thread, NULL, play, p) == 0);
}

void player_stop(player* p) {
  p->stop = true;
  CHECK(pthread_join(p->thread, NULL) == 0);
}
