// What every testbench shares: requests on stdin, results on stdout, stalls by a seeded generator, a clock with a limit.
//
// A testbench serves requests until stdin ends. A request is little-endian u32 words and bytes, as its own comment says;
// the first two words are always the seed and the chance of a stall in 1/256 (0: never) for each valid and ready.
// Exit code 2: a request that cannot be; 4: the module hangs. Either says why on stderr.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace bench {

// ---------------------------------------------------------------- stdin, stdout and the end, or those of a call (addon/addon.cpp)

#ifdef LM_ADDON
struct Failure {
  int code;
  std::string message;
};

inline const uint8_t *request, *requestEnd;
inline std::vector<uint8_t> result;

inline size_t take(void* target, size_t bytes) {
  if (bytes > size_t(requestEnd - request)) bytes = requestEnd - request;
  memcpy(target, request, bytes);
  request += bytes;
  return bytes;
}

inline void give(const void* bytes, size_t count) {
  result.insert(result.end(), static_cast<const uint8_t*>(bytes), static_cast<const uint8_t*>(bytes) + count);
}

[[noreturn]] inline void end(int code, const char* message) { throw Failure{code, message}; }
#else
inline size_t take(void* target, size_t bytes) { return fread(target, 1, bytes, stdin); }

inline void give(const void* bytes, size_t count) { fwrite(bytes, 1, count, stdout); }

[[noreturn]] inline void end(int code, const char* message) {
  fprintf(stderr, "%s\n", message);
  exit(code);
}
#endif

[[noreturn]] inline void fail(int code, const char* format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  end(code, message);
}

// ---------------------------------------------------------------- requests and results

inline void readBytes(void* target, size_t bytes) {
  if (take(target, bytes) != bytes) fail(2, "the request ends early");
}

// True, and the word, unless the requests end here.
inline bool readFirst(uint32_t& word) {
  size_t bytes = take(&word, 4);
  if (bytes != 0 && bytes != 4) fail(2, "the request ends early");
  return bytes == 4;
}

inline uint32_t readWord() {
  uint32_t word;
  readBytes(&word, 4);
  return word;
}

template <class T>
std::vector<T> readArray(size_t count) {
  std::vector<T> values(count);
  readBytes(values.data(), count * sizeof(T));
  return values;
}

template <class T>
void write(const T& value) {
  give(&value, sizeof(T));
}

template <class T>
void writeArray(const std::vector<T>& values) {
  give(values.data(), sizeof(T) * values.size());
}

// ---------------------------------------------------------------- wide ports

// A port of any width as 32-bit words, whatever Verilator made of it.
template <class T>
uint32_t* words(T& port) {
  return reinterpret_cast<uint32_t*>(&port);
}

template <class T>
void setPort(T& port, const void* bytes, size_t count) {
  memcpy(&port, bytes, count);
}

template <class T>
void getPort(void* bytes, const T& port, size_t count) {
  memcpy(bytes, &port, count);
}

// ---------------------------------------------------------------- stalls

class Stall {
 public:
  Stall(uint32_t seed, uint32_t chance) : state_((uint64_t(seed) << 1 | 1) * 0x9e3779b97f4a7c15ull), chance_(chance) {}

  bool operator()() {
    if (chance_ == 0) return false;
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return ((state_ >> 40) & 255) < chance_;
  }

 private:
  uint64_t state_;
  uint32_t chance_;
};

// ---------------------------------------------------------------- streams

// Bits at .. at + count - 1 of a flat vector that was all 0.
inline void setBits(uint8_t* bytes, size_t at, size_t count, uint64_t value) {
  for (size_t i = 0; i < count; i++) bytes[(at + i) / 8] |= ((value >> i) & 1) << ((at + i) % 8);
}

// A stream into the module: offers its transfers of `size` bytes in order, and holds each until it is taken.
struct Source {
  std::vector<uint8_t> bytes;
  size_t size;
  Stall stall;
  size_t at = 0;

  bool done() const { return at == bytes.size(); }

  template <class V, class D>
  void offer(V& valid, D& data) {
    if (valid || done() || stall()) return;
    valid = 1;
    setPort(data, &bytes[at], size);
  }

  template <class V>
  void taken(V& valid) {
    valid = 0;
    at += size;
  }
};

// An output: what waits must stay as it is. Look once a cycle, after settle().
class Held {
 public:
  void look(bool valid, bool ready, const void* data, size_t size) {
    if (waits_ && (!valid || memcmp(data, bytes_.data(), size) != 0)) fail(5, "data changed while it waited");
    waits_ = valid && !ready;
    bytes_.assign(static_cast<const uint8_t*>(data), static_cast<const uint8_t*>(data) + size);
  }

 private:
  bool waits_ = false;
  std::vector<uint8_t> bytes_;
};

// ---------------------------------------------------------------- clock

// One module with `clk` and `rst_n`. In a cycle: set the inputs, settle(), look at the outputs, edge().
class Device {
 public:
  explicit Device(uint32_t seed = 1) {
    context.randReset(2);
    context.randSeed(int(seed & 0x7fffffff) | 1);
    top = new Vtop(&context);
    top->clk = 0;
    top->rst_n = 0;
  }
  ~Device() {
    top->final();
    delete top;
  }
  Device(const Device&) = delete;

  // Call with every `valid` input low.
  void reset() {
    top->rst_n = 0;
    for (int i = 0; i < 4; i++) edge();
    top->rst_n = 1;
    edge();
    cycles = 0;
    progress();
  }

  void settle() { top->eval(); }

  void edge() {
    top->clk = 1;
    top->eval();
    top->clk = 0;
    top->eval();
    cycles++;
    if (cycles - lastProgress_ > limit) fail(4, "no progress for %u cycles, at cycle %llu", limit, (unsigned long long)cycles);
  }

  // A transfer happened: the module does not hang.
  void progress() { lastProgress_ = cycles; }

  VerilatedContext context;
  Vtop* top;
  uint64_t cycles = 0;
  uint32_t limit = 100000;

 private:
  uint64_t lastProgress_ = 0;
};

}  // namespace bench
