// A beat: f -> result. See pipe.h.
#include "pipe.h"

int main() {
  return bench::servePipe(
      1, 1, [](Vtop& top, const int64_t* beat) { top.s_f = uint32_t(beat[0]); },
      [](Vtop& top, int64_t* beat) { beat[0] = top.m_data; });
}
