// Jobs back to back through lm_ssmu: each stream is sent as fast as it is taken, whatever job its beats belong to.
//
// rtl-build: ssmu LANES=1
// rtl-build: ssmu-wide LANES=2
//
// Request: seed, stall, jobs, then per job 14 words: head_dim, heads, groups, group_heads, n, words, fdt, fxs, fbs, fcs, fd, dt_low, dt_high, t.
//          Then the streams of all jobs, each a number of beats and the beats: bc i16, head 16 bytes, x i16, exp 64 bytes, code 64 bytes.
// Result:  u64 cycles from the first job offered to the last one done; y i32, f u32, exp, code: as many beats as x, head, exp, code.
#include "streams.h"

using namespace bench;

static void configure(Vtop& top, const uint32_t* c) {
  top.cfg_head_dim = c[0];
  top.cfg_heads = c[1];
  top.cfg_groups = c[2];
  top.cfg_group_heads = c[3];
  top.cfg_n = c[4];
  top.cfg_words = c[5];
  top.cfg_fdt = uint8_t(c[6]);
  top.cfg_fxs = c[7];
  top.cfg_fbs = c[8];
  top.cfg_fcs = c[9];
  top.cfg_fd = uint8_t(c[10]);
  top.cfg_dt_low = c[11];
  top.cfg_dt_high = c[12];
  top.cfg_t = uint16_t(c[13]);
}

int main() {
  uint32_t seed;
  while (readFirst(seed)) {
    Stall stall(seed, readWord());
    size_t jobs = readWord();
    std::vector<uint32_t> configs = readArray<uint32_t>(jobs * 14);
    Input bc(2), head(16), x(2), exp(64), code(64);
    Output y("y", 4, x.count()), f("f", 4, head.count()), expOut("exp", 64, exp.count()), codeOut("code", 64, code.count());
    Device device(seed);
    Vtop& top = *device.top;
    top.cfg_valid = top.s_bc_valid = top.s_head_valid = top.s_x_valid = top.s_exp_valid = top.s_code_valid = 0;
    top.m_f_ready = top.m_exp_ready = top.m_code_ready = top.m_y_ready = 0;
    device.reset();
    size_t begun = 0;
    bool waiting = false;
    for (;;) {
      if (!waiting) top.cfg_valid = begun < jobs && !stall();
      if (top.cfg_valid) configure(top, &configs[begun * 14]);
      bc.offer(top.s_bc_valid, top.s_bc_data, stall);
      head.offer(top.s_head_valid, top.s_head_data, stall);
      x.offer(top.s_x_valid, top.s_x_data, stall);
      exp.offer(top.s_exp_valid, top.s_exp_data, stall);
      code.offer(top.s_code_valid, top.s_code_data, stall);
      top.m_f_ready = !stall();
      top.m_exp_ready = !stall();
      top.m_code_ready = !stall();
      top.m_y_ready = !stall();
      device.settle();
      waiting = top.cfg_valid && !top.cfg_ready;
      bool moved = top.cfg_valid && top.cfg_ready;
      if (moved) begun++;
      else if (begun == jobs && top.cfg_ready) break;
      moved |= bc.moves(top.s_bc_valid, top.s_bc_ready);
      moved |= head.moves(top.s_head_valid, top.s_head_ready);
      moved |= x.moves(top.s_x_valid, top.s_x_ready);
      moved |= exp.moves(top.s_exp_valid, top.s_exp_ready);
      moved |= code.moves(top.s_code_valid, top.s_code_ready);
      moved |= f.moves(top.m_f_valid, top.m_f_ready, top.m_f_data);
      moved |= expOut.moves(top.m_exp_valid, top.m_exp_ready, top.m_exp_data);
      moved |= codeOut.moves(top.m_code_valid, top.m_code_ready, top.m_code_data);
      moved |= y.moves(top.m_y_valid, top.m_y_ready, top.m_y_data);
      if (moved) device.progress();
      device.edge();
    }
    if (!bc.done() || !head.done() || !x.done() || !exp.done() || !code.done()) fail(4, "a stream was not read to its end");
    if (!y.done() || !f.done() || !expOut.done() || !codeOut.done()) fail(4, "a result is missing");
    write<uint64_t>(device.cycles);
    y.send();
    f.send();
    expOut.send();
    codeOut.send();
  }
  return 0;
}
