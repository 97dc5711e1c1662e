// Request: seed, stall, n, then n words. Result: the n words that came out, u64 cycles, u32 most words in the queue.
// rtl-build: fifo WIDTH=32 DEPTH=16
// rtl-build: queue top=lm_queue WIDTH=32 DEPTH=16
#include "bench.h"

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    uint32_t chance = bench::readWord();
    auto in = bench::readArray<uint32_t>(bench::readWord());
    bench::Device device(seed);
    bench::Stall push(seed, chance), pull(seed + 1, chance);
    Vtop& top = *device.top;
    top.s_valid = top.m_ready = 0;
    device.reset();
    std::vector<uint32_t> out;
    uint32_t most = 0;
    bench::Held held;
    for (size_t sent = 0; out.size() < in.size();) {
      if (!top.s_valid) top.s_valid = sent < in.size() && !push();
      if (top.s_valid) top.s_data = in[sent];
      top.m_ready = !pull();
      device.settle();
      held.look(top.m_valid, top.m_ready, &top.m_data, sizeof top.m_data);
      if (top.level > most) most = top.level;
      bool accepted = top.s_valid && top.s_ready;
      if (top.m_valid && top.m_ready) {
        out.push_back(top.m_data);
        device.progress();
      }
      device.edge();
      if (accepted) {
        sent++;
        top.s_valid = 0;
      }
    }
    bench::writeArray(out);
    bench::write(device.cycles);
    bench::write(most);
  }
  return 0;
}
