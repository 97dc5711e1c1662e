// Jobs back to back through lm_gate.
//
// rtl-build: gate GROUP=256
//
// Request: seed, stall, jobs, then per job 11 words: channels, group, grouped, zshift, fzs, gshift, ushift, eps (2), nm, ne.
//          Then the streams of all jobs, each a number of beats and the beats: y i32, z i16, gamma i16.
// Result:  u64 cycles from the first job offered to the last one done; u u32 [beats of y], the lower 18 bits used;
//          per job {m u16, s i8, sum u64} in 12 bytes.
#include "streams.h"

using namespace bench;

static void configure(Vtop& top, const uint32_t* c) {
  top.cfg_channels = c[0];
  top.cfg_group = c[1];
  top.cfg_grouped = c[2];
  top.cfg_zshift = uint8_t(c[3]);
  top.cfg_fzs = c[4];
  top.cfg_gshift = uint8_t(c[5]);
  top.cfg_ushift = uint8_t(c[6]);
  top.cfg_eps = uint64_t(c[8]) << 32 | c[7];
  top.cfg_nm = c[9];
  top.cfg_ne = c[10];
}

int main() {
  uint32_t seed;
  while (readFirst(seed)) {
    Stall stall(seed, readWord());
    size_t jobs = readWord();
    std::vector<uint32_t> configs = readArray<uint32_t>(jobs * 11);
    Input y(4), z(2), gamma(2);
    Output u("u", 4, y.count()), factor("factor", 12, jobs);
    Device device(seed);
    Vtop& top = *device.top;
    top.cfg_valid = top.s_y_valid = top.s_z_valid = top.s_gamma_valid = 0;
    top.m_u_ready = top.m_factor_ready = 0;
    device.reset();
    size_t begun = 0;
    bool waiting = false;
    for (;;) {
      if (!waiting) top.cfg_valid = begun < jobs && !stall();
      if (top.cfg_valid) configure(top, &configs[begun * 11]);
      y.offer(top.s_y_valid, top.s_y_data, stall);
      z.offer(top.s_z_valid, top.s_z_data, stall);
      gamma.offer(top.s_gamma_valid, top.s_gamma_data, stall);
      top.m_u_ready = !stall();
      top.m_factor_ready = !stall();
      device.settle();
      waiting = top.cfg_valid && !top.cfg_ready;
      bool moved = top.cfg_valid && top.cfg_ready;
      if (moved) begun++;
      else if (begun == jobs && top.cfg_ready) break;
      moved |= y.moves(top.s_y_valid, top.s_y_ready);
      moved |= z.moves(top.s_z_valid, top.s_z_ready);
      moved |= gamma.moves(top.s_gamma_valid, top.s_gamma_ready);
      moved |= u.moves(top.m_u_valid, top.m_u_ready, top.m_u_data);
      moved |= factor.moves(top.m_factor_valid, top.m_factor_ready, top.m_factor_data);
      if (moved) device.progress();
      device.edge();
    }
    if (!y.done() || !z.done() || !gamma.done()) fail(4, "a stream was not read to its end");
    if (!u.done() || !factor.done()) fail(4, "a result is missing");
    write<uint64_t>(device.cycles);
    u.send();
    factor.send();
  }
  return 0;
}
