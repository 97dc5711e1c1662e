/*
 * Finds, locks and maps a device.
 *
 * The lock is on the node or file of the registers, two bytes of it: an open-file-description lock, which also excludes a second opening in the same
 * process, and beside it a process lock, which tells others who has it. A simulator that plays the device holds another kind of lock on the same
 * file (flock), which stands for: there is somebody.
 */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lm_dma_internal.h"

/* The maps of a UIO node with memories, from here on; registers are its map 0 */
#define MEMORY_MAP 1

/* ---------------------------------------------------------------------------------------------- UIO */

static const char* last_part(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

/* A node is UIO's where sysfs says so. */
static bool is_uio(const struct stat* status) {
  char folder[128], real[128];
  if (!S_ISCHR(status->st_mode)) return false;
  snprintf(folder, sizeof folder, "/sys/dev/char/%u:%u/subsystem", major(status->st_rdev), minor(status->st_rdev));
  const ssize_t length = readlink(folder, real, sizeof real - 1);
  if (length < 0) return false;
  real[length] = 0;
  return strcmp(last_part(real), "uio") == 0;
}

static bool read_number(const char* path, uint64_t* value) {
  FILE* file = fopen(path, "re");
  if (file == NULL) return false;
  const bool read = fscanf(file, "%" SCNi64, (int64_t*)value) == 1;
  fclose(file);
  return read;
}

lm_dma_code_t lm_dma_uio_map(const char* node, unsigned map, uint64_t* address, uint64_t* bytes, lm_dma_error_t* error) {
  if (node == NULL || address == NULL || bytes == NULL) return lm_fail(error, LM_DMA_ARGUMENT, "lm_dma_uio_map: a null pointer");
  const char* name = last_part(node);
  char path[128];
  snprintf(path, sizeof path, "/sys/class/uio/%.32s/maps/map%u/addr", name, map);
  if (!read_number(path, address)) return lm_fail(error, LM_DMA_MEMORY, "%s: the node has no map %u (%s)", node, map, path);
  snprintf(path, sizeof path, "/sys/class/uio/%.32s/maps/map%u/size", name, map);
  if (!read_number(path, bytes)) return lm_fail(error, LM_DMA_MEMORY, "%s: no size of map %u (%s)", node, map, path);
  return LM_DMA_OK;
}

/* ---------------------------------------------------------------------------------------------- lock */

static struct flock byte_lock(off_t at) {
  return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

static lm_dma_code_t lock(int fd, const char* path, lm_dma_error_t* error) {
  struct flock exclusive = byte_lock(0), owner = byte_lock(1);
  if (fcntl(fd, F_OFD_SETLK, &exclusive) == 0) {
    (void)fcntl(fd, F_SETLK, &owner);
    return LM_DMA_OK;
  }
  if (errno != EAGAIN && errno != EACCES) return lm_fail_system(error, path, "cannot be locked");
  if (fcntl(fd, F_GETLK, &owner) == 0 && owner.l_type != F_UNLCK && owner.l_pid > 0)
    return lm_fail(error, LM_DMA_IN_USE, "%s: in use by process %d", path, (int)owner.l_pid);
  return lm_fail(error, LM_DMA_IN_USE, "%s: in use, perhaps by this process itself", path);
}

/* Another process has a lock of flock() on it: it plays the device. */
static bool is_played(int fd) {
  if (flock(fd, LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK;
  flock(fd, LOCK_UN);
  return false;
}

bool lm_dma_gone(lm_dma_t* device) {
  return device->watched && !is_played(device->registers_fd);
}

/* ---------------------------------------------------------------------------------------------- maps */

/* Of a regular file, what is asked for must be there: beyond its end a mapping answers with SIGBUS. */
static lm_dma_code_t check_size(int fd, const char* path, uint64_t end, lm_dma_error_t* error) {
  struct stat status;
  if (fstat(fd, &status) != 0) return lm_fail_system(error, path, "cannot be examined");
  if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size >= end) return LM_DMA_OK;
  char expected[64], found[64], text[192];
  snprintf(expected, sizeof expected, "at least %" PRIu64 " bytes", end);
  snprintf(found, sizeof found, "%" PRIu64, (uint64_t)status.st_size);
  snprintf(text, sizeof text, "%.128s: shorter than the device's memory", path);
  return lm_expected(error, LM_DMA_MEMORY, expected, found, text);
}

static lm_dma_code_t map(int fd, const char* path, uint64_t offset, uint64_t bytes, volatile uint8_t** at, lm_dma_error_t* error) {
  lm_dma_code_t code = check_size(fd, path, offset + bytes, error);
  if (code != LM_DMA_OK) return code;
  void* mapped = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
  if (mapped == MAP_FAILED) return lm_fail_system(error, path, "cannot be mapped");
  *at = mapped;
  return LM_DMA_OK;
}

/* Not cached, where a node leaves the choice to O_SYNC (/dev/mem). */
static int open_node(const char* path) {
  return open(path, O_RDWR | O_CLOEXEC | O_SYNC);
}

static lm_dma_code_t check_options(const lm_dma_options_t* o, lm_dma_error_t* error) {
  const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  const uint64_t limit = INT64_MAX; /* of what mmap takes, and far beyond any address */
  if (o->registers == NULL) return lm_fail(error, LM_DMA_ARGUMENT, "no node or file of the registers");
  if (o->register_offset % page != 0 || o->register_offset > limit - page)
    return lm_fail(error, LM_DMA_ARGUMENT, "register_offset is not on a page of %" PRIu64 " bytes", page);
  if (o->memory_bytes == 0) {
    if (o->memory == NULL && o->memory_address == 0 && o->memory_offset == 0) return LM_DMA_OK;
    return lm_fail(error, LM_DMA_ARGUMENT, "memory_bytes is 0");
  }
  if (o->memory_offset % page != 0 || o->memory_offset > limit - page)
    return lm_fail(error, LM_DMA_ARGUMENT, "memory_offset is not on a page of %" PRIu64 " bytes", page);
  if (o->memory_address % LM_ALIGNMENT != 0)
    return lm_fail(error, LM_DMA_ARGUMENT, "memory_address is not a multiple of %u", LM_ALIGNMENT);
  if (o->memory_bytes > limit - o->memory_offset || o->memory_bytes > UINT64_MAX - o->memory_address)
    return lm_fail(error, LM_DMA_ARGUMENT, "memory_bytes is beyond any memory");
  return LM_DMA_OK;
}

/* Memory that was not said: map 1 of the node, or what the file has behind the registers, where offsets are addresses. */
static lm_dma_code_t find_memory(const char* path, bool uio, const struct stat* status, lm_dma_options_t* o, lm_dma_error_t* error) {
  if (uio) {
    o->memory_offset = MEMORY_MAP * (uint64_t)sysconf(_SC_PAGESIZE);
    return lm_dma_uio_map(path, MEMORY_MAP, &o->memory_address, &o->memory_bytes, error);
  }
  if (!S_ISREG(status->st_mode)) return lm_fail(error, LM_DMA_ARGUMENT, "%s: where is its memory?", path);
  const uint64_t first = o->register_offset + LM_REGISTER_PAGE, size = (uint64_t)status->st_size;
  if (size <= first) return lm_fail(error, LM_DMA_MEMORY, "%s: no memory behind the register page", path);
  o->memory_address = o->memory_offset = first;
  o->memory_bytes = size - first;
  return LM_DMA_OK;
}

/* path: NULL where it is that of the registers, which is then for messages. */
static lm_dma_code_t add(lm_dma_t* device, const char* path, const char* registers, uint64_t address, uint64_t bytes, uint64_t offset,
                         lm_dma_error_t* error) {
  if (device->memory_count == LM_DMA_MEMORIES) return lm_fail(error, LM_DMA_ARGUMENT, "more than %d memories", LM_DMA_MEMORIES);
  lm_range_t* m = &device->memories[device->memory_count];
  *m = (lm_range_t){.address = address, .bytes = bytes, .fd = path != NULL ? open_node(path) : -1};
  if (path != NULL && m->fd < 0) return lm_fail_system(error, path, "cannot be opened");
  const lm_dma_code_t code = map(path != NULL ? m->fd : device->registers_fd, path != NULL ? path : registers, offset, bytes, &m->at, error);
  if (code == LM_DMA_OK) device->memory_count++;
  else if (m->fd >= 0) close(m->fd);
  return code;
}

lm_dma_code_t lm_dma_add_memory(lm_dma_t* device, const char* path, uint64_t address, uint64_t bytes, uint64_t offset, lm_dma_error_t* error) {
  if (device == NULL) return lm_fail(error, LM_DMA_ARGUMENT, "no device");
  const lm_dma_options_t range = {.registers = "registers", .memory_address = address, .memory_bytes = bytes, .memory_offset = offset};
  const lm_dma_code_t code = bytes == 0 ? lm_fail(error, LM_DMA_ARGUMENT, "memory_bytes is 0") : check_options(&range, error);
  if (code != LM_DMA_OK) return code;
  for (uint32_t i = 0; i < device->memory_count; i++) {
    const lm_range_t* m = &device->memories[i];
    if (address < m->address + m->bytes && m->address < address + bytes)
      return lm_fail(error, LM_DMA_ARGUMENT, "the memory at 0x%" PRIx64 " overlaps that at 0x%" PRIx64, address, m->address);
  }
  return add(device, path, "registers", address, bytes, offset, error);
}

static lm_dma_code_t fill(lm_dma_t* device, lm_dma_options_t o, lm_dma_error_t* error) {
  struct stat status;
  device->registers_fd = open_node(o.registers);
  if (device->registers_fd < 0) return lm_fail_system(error, o.registers, "cannot be opened");
  if (fstat(device->registers_fd, &status) != 0) return lm_fail_system(error, o.registers, "cannot be examined");
  const bool uio = is_uio(&status);
  lm_dma_code_t code = lock(device->registers_fd, o.registers, error);
  if (code != LM_DMA_OK) return code;
  if (o.memory_bytes == 0) code = find_memory(o.registers, uio, &status, &o, error);
  if (code != LM_DMA_OK) return code;
  code = map(device->registers_fd, o.registers, o.register_offset, LM_REGISTER_PAGE, &device->page, error);
  if (code != LM_DMA_OK) return code;
  code = add(device, o.memory, o.registers, o.memory_address, o.memory_bytes, o.memory_offset, error);
  for (unsigned i = MEMORY_MAP + 1; uio && o.memory == NULL && code == LM_DMA_OK; i++) {
    uint64_t address, bytes;
    if (lm_dma_uio_map(o.registers, i, &address, &bytes, NULL) != LM_DMA_OK) break;
    code = add(device, NULL, o.registers, address, bytes, i * (uint64_t)sysconf(_SC_PAGESIZE), error);
  }
  if (code != LM_DMA_OK) return code;
  device->interrupts = o.interrupts != 0 ? o.interrupts : uio ? device->registers_fd : -1;
  device->watched = S_ISREG(status.st_mode) && is_played(device->registers_fd);
  return LM_DMA_OK;
}

lm_dma_code_t lm_dma_open(const lm_dma_options_t* options, lm_dma_t** device, lm_dma_error_t* error) {
  if (options == NULL || device == NULL) return lm_fail(error, LM_DMA_ARGUMENT, "lm_dma_open: a null pointer");
  *device = NULL;
  lm_dma_code_t code = check_options(options, error);
  if (code != LM_DMA_OK) return code;
  lm_dma_t* made = aligned_alloc(_Alignof(lm_dma_t), sizeof *made);
  if (made == NULL) return lm_fail_system(error, options->registers, "no memory for the handle");
  memset(made, 0, sizeof *made);
  made->registers_fd = made->interrupts = -1;
  lm_dma_set_timeout(made, 0);
  code = fill(made, *options, error);
  if (code == LM_DMA_OK) *device = made;
  else lm_dma_close(made);
  return code;
}

void lm_dma_close(lm_dma_t* device) {
  if (device == NULL) return;
  if (device->page != NULL) munmap((void*)(uintptr_t)device->page, LM_REGISTER_PAGE);
  for (uint32_t i = 0; i < device->memory_count; i++) {
    const lm_range_t* m = &device->memories[i];
    munmap((void*)(uintptr_t)m->at, (size_t)m->bytes);
    if (m->fd >= 0) close(m->fd);
  }
  if (device->registers_fd >= 0) close(device->registers_fd);
  free(device);
}
