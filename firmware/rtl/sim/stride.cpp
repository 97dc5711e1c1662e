// Request: seed, stall, bounded, release (the limit at which `bounded` falls), vectors, then for each u64 address and words beats, stride, first.
//          The limit begins at 0 and grows by 1 whenever nothing has happened for 8 cycles.
// Result:  for each vector u32 commands, then for each of them u64 address, u32 beats, u32 limit when it came; at last u64 cycles.
#include "bench.h"

struct Command {
  uint64_t address;
  uint32_t beats, limit;
};

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    uint32_t chance = bench::readWord(), bounded = bench::readWord(), release = bench::readWord(), vectors = bench::readWord();
    bench::Device device(seed);
    bench::Stall push(seed, chance), pull(seed + 1, chance);
    Vtop& top = *device.top;
    top.valid = top.c_ready = 0;
    device.reset();
    for (uint32_t v = 0; v < vectors; v++) {
      uint64_t address = bench::readWord();
      address |= uint64_t(bench::readWord()) << 32;
      uint32_t beats = bench::readWord(), stride = bench::readWord(), first = bench::readWord();
      std::vector<Command> commands;
      bench::Held held;
      uint32_t quiet = 0, total = 0;
      bool taken = false;
      for (uint32_t limit = 0; !taken || total < beats || quiet < 8;) {
        if (!taken && !top.valid) top.valid = !push();
        top.addr = address;
        top.beats = beats;
        top.stride = stride;
        top.first = first;
        top.bounded = bounded && limit < release;
        top.limit = limit;
        top.c_ready = !pull();
        device.settle();
        uint32_t words[3] = {uint32_t(top.c_addr), uint32_t(top.c_addr >> 32), top.c_beats};
        held.look(top.c_valid, top.c_ready, words, sizeof words);
        quiet = top.valid || top.c_valid ? 0 : quiet + 1;
        if (top.c_valid && top.c_ready) {
          commands.push_back({top.c_addr, top.c_beats, limit});
          total += top.c_beats;
          device.progress();
        }
        bool accepted = top.valid && top.ready;
        device.edge();
        if (accepted) {
          taken = true;
          top.valid = 0;
        }
        if (taken && quiet >= 8 && total < beats) {
          limit++;
          quiet = 0;
        }
      }
      if (total != beats) bench::fail(5, "commands for %u beats of %u", total, beats);
      bench::write(uint32_t(commands.size()));
      for (const Command& command : commands) {
        bench::write(command.address);
        bench::write(command.beats);
        bench::write(command.limit);
      }
    }
    bench::write(device.cycles);
  }
  return 0;
}
