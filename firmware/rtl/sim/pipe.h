// A testbench for modules with one input stream and one output stream, one beat out for each beat in.
//
// Request: seed, stall, what `before` reads, count, then count × IN int64.
// Result:  u64 cycles from the first beat offered to the last one taken, then count × OUT int64.
#pragma once
#include "bench.h"

namespace bench {

// Puts a beat on the inputs; reads a beat from the outputs; sets what holds for all beats of a request.
using Put = void (*)(Vtop&, const int64_t*);
using Get = void (*)(Vtop&, int64_t*);
using Before = void (*)(Vtop&);

inline int servePipe(int in, int out, Put put, Get get, Before before = nullptr) {
  uint32_t seed;
  while (readFirst(seed)) {
    Stall stall(seed, readWord());
    Device device(seed);
    Vtop& top = *device.top;
    top.s_valid = 0;
    top.m_ready = 0;
    if (before) before(top);
    size_t count = readWord();
    std::vector<int64_t> beats = readArray<int64_t>(count * in);
    std::vector<int64_t> results(count * out);
    device.reset();
    size_t sent = 0, taken = 0;
    bool waiting = false, held = false;
    std::vector<int64_t> before_stall(out), now(out);
    while (taken < count) {
      if (!waiting) top.s_valid = sent < count && !stall();
      if (top.s_valid) put(top, &beats[sent * in]);
      top.m_ready = !stall();
      device.settle();
      if (top.m_valid) get(top, now.data());
      if (held && (!top.m_valid || now != before_stall)) fail(4, "output changed while it waited, beat %zu", taken);
      waiting = top.s_valid && !top.s_ready;
      held = top.m_valid && !top.m_ready;
      before_stall = now;
      if (top.s_valid && top.s_ready) sent++;
      if (top.m_valid && top.m_ready) {
        if (taken >= sent) fail(4, "beat %zu came out before it went in", taken);
        std::copy(now.begin(), now.end(), results.begin() + taken * out);
        taken++;
        device.progress();
      }
      device.edge();
    }
    write<uint64_t>(device.cycles);
    writeArray(results);
  }
  return 0;
}

}  // namespace bench
