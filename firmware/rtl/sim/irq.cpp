// Request: seed, stall (unused), cycles, pulses, then for each of them the cycle in which it comes.
// Result:  u8 level of each cycle.
// rtl-build: irq HOLD=8
#include <set>

#include "bench.h"

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    bench::readWord();
    uint32_t cycles = bench::readWord(), count = bench::readWord();
    std::vector<uint32_t> at = bench::readArray<uint32_t>(count);
    std::set<uint32_t> pulses(at.begin(), at.end());
    bench::Device device(seed);
    device.top->pulse = 0;
    device.reset();
    for (uint32_t cycle = 0; cycle < cycles; cycle++) {
      device.top->pulse = pulses.count(cycle) != 0;
      device.settle();
      bench::write(uint8_t(device.top->level));
      device.edge();
      device.progress();
    }
  }
}
