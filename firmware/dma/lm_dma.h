/*
 * The accelerator from a processor: its registers and its memory mapped into this process, and the ring of descriptors. docs/device.md is the
 * specification; the sections named below are its. README.md says how this library is built and tested.
 *
 * Everything hangs on one lm_dma_t; there are no globals, so a process may have several devices. One thread at a time may use a device.
 * Memory is allocated by lm_dma_open alone. Whatever waits does so with the device's time-out.
 *
 * Functions that can fail return a code, and say in *error (may be NULL) what, what was expected and what was found.
 */
#ifndef LM_DMA_H
#define LM_DMA_H

#include <stdbool.h>
#include <sys/types.h>

#include "../include/lm_device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lm_dma lm_dma_t;

typedef enum {
  LM_DMA_OK = 0,
  LM_DMA_ARGUMENT, /* the caller's mistake; nothing was done */
  LM_DMA_SYSTEM,   /* the operating system refused: a file, a node, a mapping */
  LM_DMA_IN_USE,   /* by another process, or opened twice in this one */
  LM_DMA_MEMORY,   /* the device's memory is too small, or not where it was said to be */
  LM_DMA_FOREIGN,  /* not our accelerator, or one of another version or other numbers */
  LM_DMA_TIMEOUT,  /* no answer; how far the device came is in the text */
  LM_DMA_COMMAND,  /* the device refused a descriptor, or failed at it: status, sequence, info. The ring is empty, the device usable */
  LM_DMA_LOST,     /* a descriptor has ended, but what lies in its completion's place is not its completion */
  LM_DMA_GONE,     /* the process that plays the device has ended */
  LM_DMA_BROKEN    /* the device went out of order earlier, the text says how; lm_dma_reset may help */
} lm_dma_code_t;

typedef struct {
  lm_dma_code_t code;
  uint8_t status;    /* LM_DMA_COMMAND: LM_STATUS_* */
  uint32_t sequence; /* of the descriptor at fault */
  uint64_t info;
  char text[256];    /* what; one line */
  char expected[64]; /* empty: nothing to say */
  char found[64];
} lm_dma_error_t;

/* ---------------------------------------------------------------------------------------------- open */

/* Where the device is. All zero but `registers`: a UIO node with the memory as its map 1, or a file with the memory behind the register page. */
typedef struct {
  const char* registers;    /* /dev/uio<n>, or a regular file in which another process plays the device */
  uint64_t register_offset; /* of the register page, as mmap takes it; a UIO node has it at 0 */
  const char* memory;       /* /dev/mem or another node or file; NULL: that of the registers */
  uint64_t memory_address;  /* as the device sees it; a multiple of 64 */
  uint64_t memory_bytes;    /* 0, together with address and offset: as the node or the file says */
  uint64_t memory_offset;   /* as mmap takes it; a multiple of the page size */
  int interrupts;           /* 0: those of the UIO node, if it is one; -1: none; otherwise a descriptor that reads and writes like a UIO node */
} lm_dma_options_t;

/* Locks the device for this process and maps it. Nothing of it is written. */
lm_dma_code_t lm_dma_open(const lm_dma_options_t* options, lm_dma_t** device, lm_dma_error_t* error);
void lm_dma_close(lm_dma_t* device);

/* A board may have several memories: the first has ring, completions, data and weights, the others weights of their ports and nothing else. */
#define LM_DMA_MEMORIES 8

/*
 * One more memory: of the file or node `path` (NULL: that of the registers), numbers as in lm_dma_options_t. Further maps of a UIO node are there
 * already. Not while the device works.
 */
lm_dma_code_t lm_dma_add_memory(lm_dma_t* device, const char* path, uint64_t address, uint64_t bytes, uint64_t offset, lm_dma_error_t* error);

/* Address and bytes of a map of a UIO node, from sysfs. */
lm_dma_code_t lm_dma_uio_map(const char* node, unsigned map, uint64_t* address, uint64_t* bytes, lm_dma_error_t* error);

/* ---------------------------------------------------------------------------------------------- memory */

uint64_t lm_dma_memory_address(const lm_dma_t* device);
uint64_t lm_dma_memory_bytes(const lm_dma_t* device);
uint32_t lm_dma_memory_count(const lm_dma_t* device);
/* Of memory i; false: there is none. */
bool lm_dma_memory(const lm_dma_t* device, uint32_t i, uint64_t* address, uint64_t* bytes);

/* Mailbox words, "Registers". offset: LM_REG_*, a multiple of 4 in the page; anything else reads 0 and writes nothing. */
uint32_t lm_dma_register(const lm_dma_t* device, uint32_t offset);
void lm_dma_set_register(lm_dma_t* device, uint32_t offset, uint32_t value);

/* Copies, without a hand-over: to be followed by lm_dma_give, or preceded by lm_dma_take. Any address and size within the memory. */
lm_dma_code_t lm_dma_write(lm_dma_t* device, uint64_t address, const void* from, size_t bytes, lm_dma_error_t* error);
lm_dma_code_t lm_dma_read(lm_dma_t* device, uint64_t address, void* into, size_t bytes, lm_dma_error_t* error);

/* "Ownership and caches". Each call is counted, whatever it has to do. */
lm_dma_code_t lm_dma_give(lm_dma_t* device, uint64_t address, size_t bytes, lm_dma_error_t* error);
lm_dma_code_t lm_dma_take(lm_dma_t* device, uint64_t address, size_t bytes, lm_dma_error_t* error);

/* A range of a file straight into the device's memory, and gives it. A file that ends early is an error. */
lm_dma_code_t lm_dma_load_file(lm_dma_t* device, int fd, uint64_t offset, uint64_t bytes, uint64_t address, lm_dma_error_t* error);

typedef struct {
  uint64_t gives, takes;
  uint64_t doorbells_repeated; /* that the device had not heard */
  uint64_t interrupts;         /* that ended a sleep */
  uint64_t sleeps;             /* waits that were more than a short spin, each at most some milliseconds */
} lm_dma_counts_t;

lm_dma_counts_t lm_dma_counts(const lm_dma_t* device);

/* ---------------------------------------------------------------------------------------------- start */

/* What the logic was built for, in the order of the words BUILD_*. */
typedef struct {
  uint32_t lanes, ports, tokens, act_bits, max_inputs, max_rows, max_heads, max_head_dim, max_state, max_groups;
  uint32_t units; /* bit LM_UNIT_*: it is there */
  uint32_t max_copy, max_words, max_taps, max_norm_group, max_order, max_log2;
  uint32_t state_ports; /* ports 1 to this one have a part of the state each; 0: it is with port 0 */
} lm_dma_build_t;

/* Zeros: the defaults. */
typedef struct {
  uint32_t ring_log2;    /* entries of the ring: 2^ring_log2; default 9 */
  uint32_t watchdog;     /* cycles that a descriptor may take; default: any */
  uint32_t timeout_ms;   /* default 10 000 */
  uint64_t weight_bytes; /* at the end of the memory, only read by the device */
} lm_dma_setup_t;

/* Checks who is there, then sets up ring, completions and windows from a known point, whoever used the device before. setup may be NULL. */
lm_dma_code_t lm_dma_start(lm_dma_t* device, const lm_dma_setup_t* setup, lm_dma_error_t* error);

/* How the memory is divided: ring, completions, data (read and written by the device), weights (only read). */
typedef struct {
  uint64_t ring, completions, data, data_bytes, weights, weight_bytes;
} lm_dma_layout_t;

lm_dma_build_t lm_dma_build(const lm_dma_t* device);
lm_dma_layout_t lm_dma_layout(const lm_dma_t* device);

/* Divides the memory anew; what is in it stays. Only while the device is idle. */
lm_dma_code_t lm_dma_reserve_weights(lm_dma_t* device, uint64_t bytes, lm_dma_error_t* error);

/* In which memory each port has its weights, `count` ports; before, and those not named: the first. Only while the device is idle. */
lm_dma_code_t lm_dma_place_ports(lm_dma_t* device, const uint8_t* memories, uint32_t count, lm_dma_error_t* error);

/* For what is called from now on. 0: the default. */
void lm_dma_set_timeout(lm_dma_t* device, uint32_t timeout_ms);

/* ---------------------------------------------------------------------------------------------- commands */

/*
 * Puts descriptors into the ring and rings the doorbell; waits for room where there is not enough. Sequence numbers, check words and, where
 * there are interrupts, the last one's flag are set here. *last: the number of the last one.
 */
lm_dma_code_t lm_dma_submit(lm_dma_t* device, const lm_descriptor_t* list, size_t count, uint32_t* last, lm_dma_error_t* error);

/*
 * Waits until everything up to `sequence` has ended; *completion (may be NULL) is its completion. The first failure is LM_DMA_COMMAND, and the
 * device reset. The time-out begins anew as long as commands end.
 */
lm_dma_code_t lm_dma_wait(lm_dma_t* device, uint32_t sequence, lm_completion_t* completion, lm_dma_error_t* error);

/* The completion of a descriptor that has ended, while its place is not taken by another. */
lm_dma_code_t lm_dma_completion(lm_dma_t* device, uint32_t sequence, lm_completion_t* completion, lm_dma_error_t* error);

/* Drops what is queued, gives up what runs, forgets the error. */
lm_dma_code_t lm_dma_reset(lm_dma_t* device, lm_dma_error_t* error);

/* ---------------------------------------------------------------------------------------------- for those who wait by themselves */

bool lm_dma_has_interrupts(const lm_dma_t* device);

/* Lets the next interrupt through. Look once more at what is waited for between this and lm_dma_sleep, or an interrupt may be missed. */
void lm_dma_arm(lm_dma_t* device);

/* Sleeps until an interrupt, at most `microseconds`; true: there was one. Without interrupts it just sleeps. */
bool lm_dma_sleep(lm_dma_t* device, uint32_t microseconds);

/* Whether the process that played the device has ended, as far as that can be known: it must hold a lock (flock) on its file. */
bool lm_dma_gone(lm_dma_t* device);

#ifdef __cplusplus
}
#endif

#endif
