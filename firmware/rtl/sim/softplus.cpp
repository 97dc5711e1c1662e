// A beat: v -> result. See pipe.h.
#include "pipe.h"

int main() {
  return bench::servePipe(
      1, 1, [](Vtop& top, const int64_t* beat) { top.s_v = uint64_t(beat[0]) & ((1ull << 40) - 1); },
      [](Vtop& top, int64_t* beat) { beat[0] = top.m_data; });
}
