/* A device that a thread plays: NOP and COPY on shared memory, and whatever can go wrong. */
#ifndef LM_DMA_PLAYER_H
#define LM_DMA_PLAYER_H

#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

typedef struct {
  volatile uint8_t* page; /* first of the memory; addresses are offsets in it */
  /* How it misbehaves; changed at any time */
  atomic_uint id, version, contract;
  atomic_bool frozen;     /* hears and does nothing */
  atomic_bool lose_doorbell; /* the next one never arrives */
  atomic_uint command_ms; /* that each command takes */
  atomic_bool no_completion, torn, renumbered, wrong_place, backwards;
  atomic_bool no_interrupt;
  /* What it saw */
  atomic_uint interrupts_asked, armed;
  int line; /* its end of the interrupt: -1 none */
  atomic_bool stop;
  pthread_t thread;
} player;

void player_start(player* p, const test_memory* memory, int line);
void player_stop(player* p);

#endif
