// Request: seed, stall, blocks, m, k, vectors, m columns of signs (MAX_M / 32 words each, bit r of column i set where
//          H[r][i] = -1), then vectors x blocks · m · 2^k words u.
// Result:  u32 bad (1: the unit refuses blocks, m, k, and that is all), then for each vector u64 cycles from the first word
//          in to the last beat out, both counted, u64 cycles from the last word in, and the words w.
// rtl-build: htu MAX_M=64 MAX_K=7
// rtl-build: htu-small MAX_M=16 MAX_K=5
#include "bench.h"

static void run(bench::Device& device, bench::Stall& push, bench::Stall& pull, const std::vector<int32_t>& u) {
  Vtop& top = *device.top;
  std::vector<int32_t> w;
  const size_t total = (u.size() + 15) / 16 * 16;
  uint64_t first = 0, last_in = 0;
  bool end = false;
  bench::Held held;
  for (size_t sent = 0; !end;) {
    if (!top.s_valid) top.s_valid = sent < u.size() && !push();
    if (top.s_valid) top.s_data = u[sent] & 0x3ffff;
    top.m_ready = !pull();
    device.settle();
    const uint32_t* out = bench::words(top.m_data);
    held.look(top.m_valid, top.m_ready, out, 64);
    const bool accepted = top.s_valid && top.s_ready;
    if (accepted && sent == 0) first = device.cycles;
    if (accepted) last_in = device.cycles;
    if (top.m_valid && top.m_ready) {
      w.insert(w.end(), out, out + 16);
      end = top.m_last;
      if (end != (w.size() == total)) bench::fail(5, "m_last after %zu words of %zu", w.size(), total);
      device.progress();
    }
    device.edge();
    if (accepted) {
      sent++;
      top.s_valid = 0;
      device.progress();
    }
  }
  for (size_t i = u.size(); i < total; i++)
    if (w[i] != 0) bench::fail(5, "word %zu behind the end is not 0", i);
  w.resize(u.size());
  bench::write(device.cycles - first);
  bench::write(device.cycles - 1 - last_in);
  bench::writeArray(w);
}

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    const uint32_t chance = bench::readWord(), blocks = bench::readWord(), m = bench::readWord(), k = bench::readWord();
    const uint32_t vectors = bench::readWord(), column_words = (MAX_M + 31) / 32;
    bench::Device device(seed);
    bench::Stall push(seed, chance), pull(seed + 1, chance);
    Vtop& top = *device.top;
    top.s_valid = top.m_ready = top.cfg_valid = top.sign_we = 0;
    device.reset();
    const auto signs = bench::readArray<uint32_t>(size_t(m) * column_words);
    for (uint32_t i = 0; i < m; i++) {
      top.sign_we = 1;
      top.sign_addr = i;
      bench::setPort(top.sign_data, &signs[size_t(i) * column_words], MAX_M / 8);
      device.settle();
      device.edge();
    }
    top.sign_we = 0;
    top.cfg_blocks = blocks;
    top.cfg_m = m;
    top.cfg_k = k;
    device.settle();
    bench::write(uint32_t(top.cfg_bad));
    for (uint32_t v = 0; v < vectors; v++) {
      const auto u = bench::readArray<int32_t>((size_t(blocks) * m) << k);
      if (top.cfg_bad) continue;
      top.cfg_valid = 1;
      device.settle();
      if (!top.cfg_ready) bench::fail(5, "not ready between vectors");
      device.edge();
      top.cfg_valid = 0;
      run(device, push, pull, u);
    }
  }
  return 0;
}
