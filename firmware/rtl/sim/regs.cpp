// Request: seed, stall, DEVICE_WORDS words of the device, count, then for each access write (0 or 1), address, data.
//          Address and data of a write come in any order, and at any time.
// Result:  u32 of each read, then the HOST_WORDS words of the host, u64 cycles.
// rtl-build: regs DEVICE_WORDS=34 HOST_WORDS=48
#include "bench.h"

struct Bus {
  bench::Device& device;
  bench::Stall stall;
  bench::Held answer{};

  void write(uint32_t address, uint32_t data) {
    Vtop& top = *device.top;
    bool addressTaken = false, dataTaken = false, done = false;
    while (!done) {
      if (!addressTaken && !top.s_awvalid) top.s_awvalid = !stall();
      if (!dataTaken && !top.s_wvalid) top.s_wvalid = !stall();
      top.s_awaddr = address;
      top.s_wdata = data;
      top.s_bready = !stall();
      device.settle();
      bool tookAddress = top.s_awvalid && top.s_awready, tookData = top.s_wvalid && top.s_wready;
      done = top.s_bvalid && top.s_bready;
      if (top.s_bvalid && !(addressTaken && dataTaken)) bench::fail(5, "a write is answered before it is there");
      device.edge();
      if (tookAddress) addressTaken = true, top.s_awvalid = 0;
      if (tookData) dataTaken = true, top.s_wvalid = 0;
    }
    device.progress();
  }

  uint32_t read(uint32_t address) {
    Vtop& top = *device.top;
    bool taken = false;
    for (;;) {
      if (!taken && !top.s_arvalid) top.s_arvalid = !stall();
      top.s_araddr = address;
      top.s_rready = !stall();
      device.settle();
      uint32_t data = top.s_rdata;
      answer.look(top.s_rvalid, top.s_rready, &data, sizeof data);
      bool took = top.s_arvalid && top.s_arready, done = top.s_rvalid && top.s_rready;
      if (top.s_rvalid && !taken) bench::fail(5, "a read is answered before it is asked for");
      device.edge();
      if (took) taken = true, top.s_arvalid = 0;
      if (!done) continue;
      device.progress();
      return data;
    }
  }
};

int main() {
  uint32_t seed;
  while (bench::readFirst(seed)) {
    uint32_t chance = bench::readWord();
    bench::Device device(seed);
    Vtop& top = *device.top;
    top.s_awvalid = top.s_wvalid = top.s_arvalid = top.s_bready = top.s_rready = 0;
    std::vector<uint32_t> words = bench::readArray<uint32_t>(DEVICE_WORDS);
    bench::setPort(top.device_words, words.data(), 4 * DEVICE_WORDS);
    device.reset();
    Bus bus{device, bench::Stall(seed, chance)};
    uint32_t count = bench::readWord();
    for (uint32_t i = 0; i < count; i++) {
      uint32_t write = bench::readWord(), address = bench::readWord(), data = bench::readWord();
      if (write) bus.write(address, data);
      else bench::write(bus.read(address));
    }
    device.settle();
    std::vector<uint32_t> host(HOST_WORDS);
    bench::getPort(host.data(), top.host_words, 4 * HOST_WORDS);
    bench::writeArray(host);
    bench::write(device.cycles);
  }
}
