// Before: width, slot. A beat: raw, taps by slot (3), weights (4), bias, shift, fo -> value, raw. See pipe.h.
#include "pipe.h"

static uint64_t packed(const int64_t* values, int count) {
  uint64_t word = 0;
  for (int i = 0; i < count; i++) word |= uint64_t(uint16_t(values[i])) << (16 * i);
  return word;
}

int main() {
  return bench::servePipe(
      11, 2,
      [](Vtop& top, const int64_t* beat) {
        top.s_raw = uint16_t(beat[0]);
        top.s_taps = packed(beat + 1, 3);
        top.s_weight = packed(beat + 4, 4);
        top.s_bias = uint32_t(beat[8]);
        top.s_shift = uint8_t(beat[9]);
        top.s_fo = uint8_t(beat[10]);
        top.s_user = 1;
      },
      [](Vtop& top, int64_t* beat) {
        beat[0] = int16_t(top.m_data);
        beat[1] = int16_t(top.m_raw);
      },
      [](Vtop& top) {
        top.cfg_width = bench::readWord();
        top.cfg_slot = bench::readWord();
      });
}
