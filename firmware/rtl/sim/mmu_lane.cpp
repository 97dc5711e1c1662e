// One lane of the MMU. Request: seed, stall, jobs, then for each job
//   words groups, blocks, tokens, wide, group16, mode, base, bytes of weights (a multiple of 64)
//   for each token and group 16 codes (i8) and a scale (u8)
//   the weights
// All activations are written first; then the commands and their weights follow each other without a pause.
// Result: for each job, block, token and row the sum (i64); then u64 cycles from the first command to the last sum, and
// u64 from the last beat before the first sum to that sum.
// rtl-build: mmu-a5 top=lm_mmu_lane ACT_BITS=5 TOKENS=1
// rtl-build: mmu-a6 top=lm_mmu_lane ACT_BITS=6 TOKENS=1
// rtl-build: mmu-a8 top=lm_mmu_lane ACT_BITS=8 TOKENS=2
#include "bench.h"

constexpr uint32_t DEPTH = 1024;

struct Job {
  uint32_t groups, blocks, tokens, wide, group16, mode, base;
  std::vector<uint8_t> weights;

  size_t sums() const { return groups == 0 ? 0 : size_t(blocks) * tokens; }
};

// 16 codes as ACT_BITS each.
void setCodes(Vtop& top, const int8_t* codes) {
  uint32_t packed[4] = {0, 0, 0, 0};
  for (int i = 0; i < 16 * ACT_BITS; i++) {
    uint32_t bit = (uint8_t(codes[i / ACT_BITS]) >> (i % ACT_BITS)) & 1;
    packed[i / 32] |= bit << (i % 32);
  }
  bench::setPort(top.act_codes, packed, ACT_BITS == 8 ? 16 : 12);
}

Job readJob(bench::Device& device) {
  Job job;
  for (uint32_t* field : {&job.groups, &job.blocks, &job.tokens, &job.wide, &job.group16, &job.mode, &job.base}) {
    *field = bench::readWord();
  }
  uint32_t bytes = bench::readWord();
  if (job.base + job.groups > DEPTH) bench::fail(2, "groups %u at %u: there are %u", job.groups, job.base, DEPTH);
  if (job.tokens < 1 || job.tokens > TOKENS) bench::fail(2, "%u tokens: there are %u", job.tokens, TOKENS);
  if (bytes % 64 != 0) bench::fail(2, "%u bytes of weights are no whole beats", bytes);
  Vtop& top = *device.top;
  for (uint32_t token = 0; token < job.tokens; token++) {
    for (uint32_t group = 0; group < job.groups; group++) {
      auto record = bench::readArray<int8_t>(17);
      top.act_valid = 1;
      top.act_token = token;
      top.act_addr = job.base + group;
      setCodes(top, record.data());
      top.act_scale = uint8_t(record[16]);
      device.edge();
      device.progress();
    }
  }
  top.act_valid = 0;
  job.weights = bench::readArray<uint8_t>(bytes);
  return job;
}

void setCommand(Vtop& top, const Job& job) {
  top.cmd_valid = 1;
  top.cmd_base = job.base;
  top.cmd_groups = job.groups;
  top.cmd_blocks = job.blocks;
  top.cmd_tokens = job.tokens;
  top.cmd_wide = job.wide;
  top.cmd_group16 = job.group16;
  top.cmd_mode = job.mode;
}

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    uint32_t chance = bench::readWord();
    uint32_t count = bench::readWord();
    bench::Device device(seed);
    Vtop& top = *device.top;
    top.act_valid = top.cmd_valid = top.s_valid = top.m_ready = 0;
    device.reset();
    std::vector<Job> jobs;
    for (uint32_t i = 0; i < count; i++) jobs.push_back(readJob(device));
    std::vector<uint8_t> beats;
    size_t wanted = 0;
    for (const Job& job : jobs) {
      beats.insert(beats.end(), job.weights.begin(), job.weights.end());
      wanted += job.sums();
    }

    bench::Stall command(seed, chance), push(seed + 1, chance), pull(seed + 2, chance);
    std::vector<int64_t> sums;
    size_t job = 0, at = 0, results = 0, resultJob = 0, tokenNow = 0, jobSums = 0;
    bench::Held held;
    uint64_t start = device.cycles, firstSum = 0, lastBeat = 0;
    // Once everything is out, the lane must have taken every beat and be ready for a command.
    for (int idle = 0; idle < 4;) {
      if (!top.cmd_valid && job < jobs.size() && !command()) setCommand(top, jobs[job]);
      if (!top.s_valid && at < beats.size() && !push()) {
        top.s_valid = 1;
        bench::setPort(top.s_data, &beats[at], 64);
      }
      top.m_ready = !pull();
      device.settle();
      uint8_t data[37];
      bench::getPort(data, top.m_data, 37);
      held.look(top.m_valid, top.m_ready, data, 37);
      bool commanded = top.cmd_valid && top.cmd_ready, taken = top.s_valid && top.s_ready;
      if (top.m_valid && results == 0 && firstSum == 0) firstSum = device.cycles;
      if (top.m_valid && top.m_ready) {
        while (jobSums == jobs.at(resultJob).sums()) {
          resultJob++;
          jobSums = 0;
        }
        bool last = tokenNow + 1 == jobs[resultJob].tokens;
        if (top.m_token != tokenNow || top.m_last != last) bench::fail(5, "token %u, last %u", top.m_token, top.m_last);
        tokenNow = last ? 0 : tokenNow + 1;
        for (int row = 0; row < 8; row++) {
          int64_t sum = 0;
          for (int bit = 0; bit < 37; bit++) sum |= int64_t((data[(37 * row + bit) / 8] >> ((37 * row + bit) % 8)) & 1) << bit;
          sums.push_back((sum ^ (int64_t(1) << 36)) - (int64_t(1) << 36));
        }
        results++;
        jobSums++;
        device.progress();
      }
      device.edge();
      if (commanded) {
        top.cmd_valid = 0;
        job++;
      }
      if (taken) {
        at += 64;
        top.s_valid = 0;
        device.progress();
        if (firstSum == 0) lastBeat = device.cycles - 1;
      }
      idle = job == jobs.size() && at == beats.size() && results == wanted ? idle + 1 : 0;
      if (results > wanted) bench::fail(5, "more sums than blocks");
    }
    if (!top.cmd_ready || top.m_valid) bench::fail(5, "busy after its last sum");
    bench::writeArray(sums);
    bench::write(uint64_t(device.cycles - 3 - start));
    bench::write(uint64_t(firstSum - lastBeat));
  }
  return 0;
}
