// A beat: sum, nm, ne -> m, s. See pipe.h.
#include "pipe.h"

int main() {
  return bench::servePipe(
      3, 2,
      [](Vtop& top, const int64_t* beat) {
        top.s_sum = uint64_t(beat[0]);
        top.s_nm = uint16_t(beat[1]);
        top.s_ne = uint8_t(beat[2]);
      },
      [](Vtop& top, int64_t* beat) {
        beat[0] = top.m_m;
        beat[1] = int8_t(top.m_s);
      });
}
