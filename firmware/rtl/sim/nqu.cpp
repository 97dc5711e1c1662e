// Request: seed, stall, inputs, format (0: A4, 1: A5, 2: A6, 3: A8), vectors, then vectors x inputs words a.
// Result:  u32 bad (1: the unit refuses, and that is all), then for each vector u64 cycles from the first beat in to the last
//          beat out, both counted, u64 cycles from the last beat in, u32 exponent, u64 sum, the codes (int8) and a scale (u8)
//          per 16 of them, both padded to a multiple of 32 inputs.
// rtl-build: nqu MAX_INPUTS=8192
#include "bench.h"

static void run(bench::Device& device, bench::Stall& push, bench::Stall& pull, const std::vector<int32_t>& a) {
  Vtop& top = *device.top;
  std::vector<int8_t> codes;
  std::vector<uint8_t> scales;
  const size_t beats_in = (a.size() + 15) / 16, beats_out = (a.size() + 31) / 32 * 2;
  uint64_t first = 0, last_in = 0, last_out = 0;
  bool end = false;
  bench::Held held;
  uint8_t out[17];
  uint32_t word[16];
  for (size_t sent = 0; !end;) {
    if (!top.s_valid) top.s_valid = sent < beats_in && !push();
    if (top.s_valid) {
      // Lanes behind the end hold anything.
      for (size_t l = 0; l < 16; l++) word[l] = 16 * sent + l < a.size() ? a[16 * sent + l] : 0x80000000u + uint32_t(l);
      bench::setPort(top.s_data, word, 64);
    }
    top.m_ready = !pull();
    device.settle();
    bench::getPort(out, top.m_codes, 16);
    out[16] = top.m_scale;
    held.look(top.m_valid, top.m_ready, out, 17);
    const bool accepted = top.s_valid && top.s_ready;
    if (accepted && sent == 0) first = device.cycles;
    if (accepted) last_in = device.cycles;
    if (top.m_valid && top.m_ready) {
      codes.insert(codes.end(), out, out + 16);
      scales.push_back(out[16]);
      end = top.m_last;
      if (end != (scales.size() == beats_out)) bench::fail(5, "m_last after %zu beats of %zu", scales.size(), beats_out);
      if (top.sum_valid) bench::fail(5, "sum_valid too early");
      last_out = device.cycles;
      device.progress();
    }
    device.edge();
    if (accepted) {
      sent++;
      top.s_valid = 0;
      device.progress();
    }
  }
  top.m_ready = 0;
  device.settle();
  if (!top.sum_valid) bench::fail(5, "no sum behind the last codes");
  bench::write(last_out + 1 - first);
  bench::write(last_out - last_in);
  bench::write(uint32_t(top.exponent));
  bench::write(uint64_t(top.sum));
  bench::writeArray(codes);
  bench::writeArray(scales);
}

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    const uint32_t chance = bench::readWord(), inputs = bench::readWord(), format = bench::readWord();
    const uint32_t vectors = bench::readWord();
    bench::Device device(seed);
    bench::Stall push(seed, chance), pull(seed + 1, chance);
    Vtop& top = *device.top;
    top.s_valid = top.m_ready = top.cfg_valid = 0;
    device.reset();
    top.cfg_inputs = inputs;
    top.cfg_format = format;
    device.settle();
    bench::write(uint32_t(top.cfg_bad));
    for (uint32_t v = 0; v < vectors; v++) {
      const auto a = bench::readArray<int32_t>(inputs);
      if (top.cfg_bad) continue;
      top.cfg_valid = 1;
      device.settle();
      if (!top.cfg_ready) bench::fail(5, "not ready between vectors");
      device.edge();
      top.cfg_valid = 0;
      run(device, push, pull, a);
    }
  }
  return 0;
}
