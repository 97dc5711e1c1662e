// The memory behind the accelerator's ports: a shared file, and how long it takes.
//
// A burst waits its latency, then its beats come as fast as the port and the memory let them. Each has a budget of beats per cycle: a port one for
// reads and one for writes, a memory one for all its ports together. A port takes so many bursts at a time. With stalls, ready and valid drop at random, answers of
// different ids overtake each other, and their beats mix: all that AXI allows.
#pragma once
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

struct Region {
  uint64_t address, bytes, offset;
};

struct Random {
  uint64_t state = 1;
  uint32_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return uint32_t(state >> 32);
  }
};

// Beats per cycle, saved up for a few cycles
struct Budget {
  double rate = 1, saved = 0;
  void tick() {
    saved += rate;
    if (saved > 4) saved = 4;
  }
};

struct Dram {
  Budget budget;
  uint32_t latency = 60;
};

struct Burst {
  uint64_t address;
  uint32_t left;
  uint8_t id;
  uint64_t at;
  bool fault;
};

struct Port {
  uint32_t dram = 0, outstanding = 16;
  Budget in, out; // reads and writes have channels of their own
  std::vector<Burst> reads;
  std::deque<Burst> writes;
  std::vector<Burst> answers;
  // What is on the wires, until it is taken
  bool rvalid = false, bvalid = false;
  size_t reading = 0, answering = 0;
  uint64_t beatsRead = 0, beatsWritten = 0;
};

class Memory {
 public:
  std::vector<Region> regions;
  std::vector<Dram> drams;
  std::vector<Port> ports;
  uint8_t *file = nullptr;
  uint64_t cycle = 0;
  uint32_t stall = 0;    // in 1024
  uint64_t hangAt = ~0ull; // from here on nothing is answered
  Random random;

  uint8_t *at(uint64_t address, uint64_t bytes) {
    for (const Region &r : regions)
      if (address >= r.address && bytes <= r.bytes && address - r.address <= r.bytes - bytes)
        return file + r.offset + (address - r.address);
    return nullptr;
  }

  bool stalls() { return cycle >= hangAt || (stall != 0 && (random.next() & 1023) < stall); }

  // The first burst that may be answered now; at random one of those that are first of their id
  bool choose(const std::vector<Burst> &queue, size_t &choice) {
    size_t found = 0;
    for (size_t i = 0; i < queue.size(); i++) {
      if (queue[i].at > cycle) continue;
      bool first = true;
      for (size_t j = 0; j < i; j++) first = first && queue[j].id != queue[i].id;
      if (!first) continue;
      found++;
      if (stall == 0) {
        choice = i;
        return true;
      }
      if (random.next() % found == 0) choice = i;
    }
    return found != 0;
  }

  bool pay(Port &port, Budget &channel) {
    Budget &dram = drams[port.dram].budget;
    if (channel.saved < 1 || dram.saved < 1) return false;
    channel.saved -= 1;
    dram.saved -= 1;
    return true;
  }
};
