// The row scale. Request: seed, stall, then
//   words kind, blocks, tokens, bias; for each token words m, shift
//   for each block 8 row exponents and f (i8)
//   with bias for each block 8 biases (i32)
//   for each block and token 8 sums (i64); with kind 1 then as many residuals (i32)
// Result: for each block, token and row the result (i32); u64 cycles from the command to the last result; u64 cycles to
// the first.
// rtl-build: rows-1 TOKENS=1 ROWS=1
// rtl-build: rows-2 TOKENS=2 ROWS=2
// rtl-build: rows-8 TOKENS=3 ROWS=8
#include "bench.h"

std::vector<uint8_t> packSums(const std::vector<int64_t>& sums) {
  std::vector<uint8_t> bytes(sums.size() / 8 * 37);
  for (size_t i = 0; i < sums.size(); i++) {
    for (int bit = 0; bit < 37; bit++) bytes[i / 8 * 37 + (37 * (i % 8) + bit) / 8] |= ((sums[i] >> bit) & 1) << ((37 * (i % 8) + bit) % 8);
  }
  return bytes;
}

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    uint32_t chance = bench::readWord();
    uint32_t kind = bench::readWord(), blocks = bench::readWord(), tokens = bench::readWord(), bias = bench::readWord();
    if (tokens < 1 || tokens > TOKENS) bench::fail(2, "%u tokens: there are %u", tokens, TOKENS);
    bench::Device device(seed);
    Vtop& top = *device.top;
    uint16_t factors[TOKENS] = {};
    uint8_t shifts[(12 * TOKENS + 7) / 8 + 8] = {};
    for (uint32_t token = 0; token < tokens; token++) {
      factors[token] = uint16_t(bench::readWord());
      uint32_t shift = bench::readWord() & 0xfff;
      for (int bit = 0; bit < 12; bit++) shifts[(12 * token + bit) / 8] |= ((shift >> bit) & 1) << ((12 * token + bit) % 8);
    }
    size_t values = size_t(blocks) * tokens * 8;
    bench::Source e{bench::readArray<uint8_t>(9 * blocks), 9, bench::Stall(seed + 1, chance)};
    bench::Source b{bench::readArray<uint8_t>(bias ? 32 * blocks : 0), 32, bench::Stall(seed + 2, chance)};
    bench::Source a{packSums(bench::readArray<int64_t>(values)), 37, bench::Stall(seed + 3, chance)};
    bench::Source r{bench::readArray<uint8_t>(kind == 1 ? 4 * values : 0), 32, bench::Stall(seed + 4, chance)};
    bench::Stall pull(seed + 5, chance);

    top.cmd_valid = top.a_valid = top.e_valid = top.b_valid = top.r_valid = top.m_ready = 0;
    device.reset();
    top.cmd_valid = 1;
    top.cmd_kind = kind;
    top.cmd_blocks = blocks;
    top.cmd_tokens = tokens;
    top.cmd_bias = bias;
    bench::setPort(top.cmd_factor, factors, sizeof factors);
    bench::setPort(top.cmd_shift, shifts, (12 * TOKENS + 7) / 8);

    std::vector<int32_t> results;
    bench::Held held;
    uint64_t start = device.cycles, first = 0;
    for (int idle = 0; idle < 4;) {
      e.offer(top.e_valid, top.e_data);
      b.offer(top.b_valid, top.b_data);
      a.offer(top.a_valid, top.a_data);
      r.offer(top.r_valid, top.r_data);
      top.m_ready = !pull();
      device.settle();
      int32_t data[8];
      bench::getPort(data, top.m_data, 32);
      held.look(top.m_valid, top.m_ready, data, 32);
      bool commanded = top.cmd_valid && top.cmd_ready;
      bool ea = top.e_valid && top.e_ready, ba = top.b_valid && top.b_ready;
      bool aa = top.a_valid && top.a_ready, ra = top.r_valid && top.r_ready;
      if (top.m_valid && first == 0) first = device.cycles;
      if (top.m_valid && top.m_ready) {
        uint32_t token = results.size() / 8 % tokens;
        bool last = results.size() + 8 == values;
        if (top.m_token != token || top.m_last != last) bench::fail(5, "token %u, last %u", top.m_token, top.m_last);
        results.insert(results.end(), data, data + 8);
        device.progress();
      }
      device.edge();
      if (commanded) top.cmd_valid = 0;
      if (ea) e.taken(top.e_valid);
      if (ba) b.taken(top.b_valid);
      if (aa) a.taken(top.a_valid);
      if (ra) r.taken(top.r_valid);
      if (ea || ba || aa || ra) device.progress();
      idle = !top.cmd_valid && e.done() && b.done() && a.done() && r.done() && results.size() == values ? idle + 1 : 0;
      if (results.size() > values) bench::fail(5, "more results than sums");
    }
    if (!top.cmd_ready || top.m_valid) bench::fail(5, "busy after its last result");
    bench::writeArray(results);
    bench::write(uint64_t(device.cycles - 3 - start));
    bench::write(uint64_t(first - start));
  }
  return 0;
}
