// Lanes, queues and row scale together. Request: seed, stall, jobs, then for each job
//   words kind, blocks, tokens, bias, groups, wide, group16, mode, base, length; the pattern (u8)
//   for each lane words blocks, bytes of weights; for each token words m, shift
//   for each token and group 16 codes (i8) and a scale (u8); the weights of each lane
//   for each block 8 row exponents and f (i8); with bias for each block 8 biases (i32)
//   with kind 1 for each block and token 8 residuals (i32)
// All activations are written first; then the commands and their streams follow each other without a pause. With stalls,
// lane 0 has the chance that the request names, the others each another one.
// Result: for each job, block, token and row the result (i32); then u64 cycles from the first command to the last result.
// rtl-build: mmu LANES=1 ACT_BITS=5 TOKENS=2 ROWS=2
// rtl-build: mmu-l4 top=lm_mmu LANES=4 ACT_BITS=5 TOKENS=2 ROWS=8
#include "bench.h"

constexpr uint32_t DEPTH = 1024;

struct Job {
  uint32_t kind, blocks, tokens, bias, groups, wide, group16, mode, base, length;
  uint8_t pattern[63] = {};
  uint8_t shares[(18 * LANES + 7) / 8] = {};
  uint16_t factors[TOKENS] = {};
  uint8_t shifts[(12 * TOKENS + 7) / 8] = {};
};

struct Beat {
  uint8_t bytes[64];
};

void append(bench::Source& source, const std::vector<uint8_t>& bytes) {
  source.bytes.insert(source.bytes.end(), bytes.begin(), bytes.end());
}

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    uint32_t chance = bench::readWord(), count = bench::readWord();
    bench::Device device(seed);
    Vtop& top = *device.top;
    std::vector<bench::Source> s;
    for (uint32_t lane = 0; lane < LANES; lane++) {
      uint32_t other = lane == 1 ? 0 : (lane == 2 ? (chance + 250) / 2 : chance / 2);
      s.push_back({{}, 64, {seed + 10 + lane, lane == 0 || chance == 0 ? chance : other}});
    }
    uint8_t valid[LANES] = {};
    bench::Source e{{}, 9, {seed + 2, chance}}, b{{}, 32, {seed + 3, chance}},
        r{{}, 32, {seed + 4, chance}};
    bench::Stall command(seed + 5, chance), pull(seed + 6, chance);
    top.act_valid = top.cmd_valid = top.s_valid = top.e_valid = top.b_valid = top.r_valid = top.m_ready = 0;
    device.reset();

    std::vector<Job> jobs(count);
    size_t wanted = 0;
    for (Job& job : jobs) {
      for (uint32_t* field : {&job.kind, &job.blocks, &job.tokens, &job.bias, &job.groups, &job.wide, &job.group16,
                              &job.mode, &job.base, &job.length}) {
        *field = bench::readWord();
      }
      if (job.length < 1 || job.length > 63) bench::fail(2, "a pattern of %u places", job.length);
      bench::readBytes(job.pattern, job.length);
      uint32_t bytes[LANES];
      for (uint32_t lane = 0; lane < LANES; lane++) {
        bench::setBits(job.shares, 18 * lane, 18, bench::readWord());
        bytes[lane] = bench::readWord();
        if (bytes[lane] % 64 != 0) bench::fail(2, "%u bytes of weights are no whole beats", bytes[lane]);
      }
      if (job.base + job.groups > DEPTH) bench::fail(2, "groups %u at %u: there are %u", job.groups, job.base, DEPTH);
      if (job.tokens < 1 || job.tokens > TOKENS) bench::fail(2, "%u tokens: there are %u", job.tokens, TOKENS);
      for (uint32_t token = 0; token < job.tokens; token++) {
        job.factors[token] = uint16_t(bench::readWord());
        bench::setBits(job.shifts, 12 * token, 12, bench::readWord());
      }
      for (uint32_t token = 0; token < job.tokens; token++) {
        for (uint32_t group = 0; group < job.groups; group++) {
          auto record = bench::readArray<int8_t>(17);
          uint8_t codes[16] = {};
          for (int i = 0; i < 16; i++) bench::setBits(codes, ACT_BITS * i, ACT_BITS, uint8_t(record[i]));
          top.act_valid = 1;
          top.act_token = token;
          top.act_addr = job.base + group;
          bench::setPort(top.act_codes, codes, ACT_BITS == 8 ? 16 : 12);
          top.act_scale = uint8_t(record[16]);
          device.edge();
          device.progress();
        }
      }
      top.act_valid = 0;
      size_t transfers = size_t(job.groups == 0 ? 0 : job.blocks) * job.tokens;
      for (uint32_t lane = 0; lane < LANES; lane++) append(s[lane], bench::readArray<uint8_t>(bytes[lane]));
      append(e, bench::readArray<uint8_t>(9 * (transfers / job.tokens)));
      append(b, bench::readArray<uint8_t>(job.bias ? 32 * (transfers / job.tokens) : 0));
      append(r, bench::readArray<uint8_t>(job.kind == 1 ? 32 * transfers : 0));
      wanted += 8 * transfers;
    }

    std::vector<int32_t> results;
    size_t next = 0;
    bench::Held held;
    uint64_t start = device.cycles;
    for (int idle = 0; idle < 4;) {
      if (!top.cmd_valid && next < jobs.size() && !command()) {
        const Job& job = jobs[next];
        top.cmd_valid = 1;
        top.cmd_kind = job.kind;
        top.cmd_blocks = job.blocks;
        top.cmd_tokens = job.tokens;
        top.cmd_bias = job.bias;
        top.cmd_groups = job.groups;
        top.cmd_wide = job.wide;
        top.cmd_group16 = job.group16;
        top.cmd_mode = job.mode;
        top.cmd_base = job.base;
        top.cmd_length = job.length;
        bench::setPort(top.cmd_pattern, job.pattern, sizeof job.pattern);
        bench::setPort(top.cmd_share, job.shares, sizeof job.shares);
        bench::setPort(top.cmd_factor, job.factors, sizeof job.factors);
        bench::setPort(top.cmd_shift, job.shifts, sizeof job.shifts);
      }
      top.s_valid = 0;
      for (uint32_t lane = 0; lane < LANES; lane++) {
        s[lane].offer(valid[lane], reinterpret_cast<Beat*>(&top.s_data)[lane]);
        top.s_valid |= valid[lane] << lane;
      }
      e.offer(top.e_valid, top.e_data);
      b.offer(top.b_valid, top.b_data);
      r.offer(top.r_valid, top.r_data);
      top.m_ready = !pull();
      device.settle();
      int32_t data[8];
      bench::getPort(data, top.m_data, 32);
      held.look(top.m_valid, top.m_ready, data, 32);
      bool commanded = top.cmd_valid && top.cmd_ready;
      uint32_t st = top.s_valid & top.s_ready;
      bool et = top.e_valid && top.e_ready;
      bool bt = top.b_valid && top.b_ready, rt = top.r_valid && top.r_ready;
      if (top.m_valid && top.m_ready) results.insert(results.end(), data, data + 8);
      if (commanded || st || et || bt || rt || (top.m_valid && top.m_ready)) device.progress();
      device.edge();
      if (commanded) {
        top.cmd_valid = 0;
        next++;
      }
      bool all = true;
      for (uint32_t lane = 0; lane < LANES; lane++) {
        if (st >> lane & 1) s[lane].taken(valid[lane]);
        all = all && s[lane].done();
      }
      if (et) e.taken(top.e_valid);
      if (bt) b.taken(top.b_valid);
      if (rt) r.taken(top.r_valid);
      bool over = next == jobs.size() && all && e.done() && b.done() && r.done() && results.size() == wanted;
      idle = over ? idle + 1 : 0;
      if (results.size() > wanted) bench::fail(5, "more results than rows");
    }
    if (!top.cmd_ready || top.m_valid) bench::fail(5, "busy after its last result");
    bench::writeArray(results);
    bench::write(uint64_t(device.cycles - 3 - start));
  }
  return 0;
}
