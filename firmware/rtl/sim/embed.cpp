// Request: seed, stall, codes (a multiple of 16), em, s (int32), then the codes (int8). Result: u64 cycles from the first codes
//          in to the last residuals out, both counted, and the residuals (int32).
#include "bench.h"

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    const uint32_t chance = bench::readWord(), count = bench::readWord(), scale = bench::readWord();
    const int32_t shift = int32_t(bench::readWord());
    const auto codes = bench::readArray<int8_t>(count);
    bench::Device device(seed);
    bench::Stall push(seed, chance), pull(seed + 1, chance);
    Vtop& top = *device.top;
    top.s_valid = top.m_ready = 0;
    device.reset();
    top.scale = scale;
    top.shift = uint8_t(shift);
    std::vector<int32_t> out;
    uint64_t first = 0;
    bench::Held held;
    bool end = false;
    for (size_t sent = 0; !end;) {
      if (!top.s_valid) top.s_valid = sent < count && !push();
      if (top.s_valid) bench::setPort(top.s_codes, &codes[sent], 16);
      top.s_last = sent + 16 == count;
      top.m_ready = !pull();
      device.settle();
      const uint32_t* data = bench::words(top.m_data);
      held.look(top.m_valid, top.m_ready, data, 64);
      const bool accepted = top.s_valid && top.s_ready;
      if (accepted && sent == 0) first = device.cycles;
      if (top.m_valid && top.m_ready) {
        out.insert(out.end(), data, data + 16);
        end = top.m_last;
        if (end != (out.size() == count)) bench::fail(5, "m_last after %zu residuals of %u", out.size(), count);
        device.progress();
      }
      device.edge();
      if (accepted) {
        sent += 16;
        top.s_valid = 0;
      }
    }
    bench::write(device.cycles - first);
    bench::writeArray(out);
  }
  return 0;
}
