// A beat: v, shift, fo -> result. See pipe.h.
#include "pipe.h"

int main() {
  return bench::servePipe(
      3, 1,
      [](Vtop& top, const int64_t* beat) {
        top.s_v = uint32_t(beat[0]);
        top.s_shift = uint8_t(beat[1]);
        top.s_fo = uint8_t(beat[2]);
        top.s_user = 1;
      },
      [](Vtop& top, int64_t* beat) { beat[0] = int16_t(top.m_data); });
}
