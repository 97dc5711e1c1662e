// rtl-build: top top=lm_top
// rtl-build: top-p4 top=lm_top PORTS=4
// rtl-build: top-p6 top=lm_top PORTS=6 PREFETCH=2048
// rtl-build: top-p3-s2 top=lm_top PORTS=3 ACT_BITS=5 TOKENS=2 STATE_LANES=8 STATE_PORTS=2 MULTIPLIES=2
// rtl-build: top-bare top=lm_top PORTS=4 PRESENT=3 HANG_LAYER=999
// rtl-build: top-trace top=lm_top verilator=--trace-fst
//
// The accelerator as a process: lm_top on a file that another process shares. In the file lie the page of mailbox words and the memory.
// Nothing is needed to talk to it but reads and writes of that file. docs/device.md describes both; host/device starts it.
//
//   sim --file PATH | --fd N      the file
//       --registers OFFSET        of the page of mailbox words in the file
//       --region ADDRESS,BYTES,OFFSET     memory, may be repeated; whatever is not named answers with an error
//       --dram RATE,LATENCY       a memory's beats of 64 bytes per cycle, and cycles to the first; may be repeated
//       --port DRAM,RATE,OUTSTANDING      port 0, then 1, …
//       --stall N --seed N        N of 1024 times no ready or valid, order of answers at random
//       --trace PATH,FROM,TO      waveforms of these cycles (build top-trace)
//       --hang CYCLE              from there on the memory answers nothing (tests)
//       --parent PID              end when that process does
//       --irq FD                  a byte is written there for each interrupt, once the registers of its cause are in the file
//
// The clock only runs while the device has something to do. Ends with 0 on SIGINT, SIGTERM, or when its parent is gone; with 2 when the
// command line or the file is not usable, 3 when the model stops by itself; the reason is the last line of stderr.
#include "Vtop.h"
#include "memory.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_fst_c.h"
#endif
#include "../../include/lm_device_numbers.h"
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#ifndef PORTS
#define PORTS 1
#endif

static volatile sig_atomic_t stopped = 0;

[[noreturn]] static void fail(const std::string &what) {
  fprintf(stderr, "sim: %s\n", what.c_str());
  _exit(2);
}

// The file was made shorter under us
static void onBus(int) {
  static const char text[] = "sim: the file is shorter than it was\n";
  if (write(2, text, sizeof text - 1) < 0) _exit(2);
  _exit(2);
}

// ------------------------------------------------------------------------------------------------ command line

struct Options {
  std::string file, trace;
  int fd = -1;
  uint64_t registers = 0, traceFrom = 0, traceTo = 0;
  int parent = 0;
  int irq = -1;
};

static std::vector<std::string> parts(const std::string &text, size_t count, const std::string &option) {
  std::vector<std::string> out(1);
  for (char c : text) {
    if (c == ',') out.emplace_back();
    else out.back() += c;
  }
  if (out.size() != count) fail(option + ": expected " + std::to_string(count) + " values with commas, found " + text);
  return out;
}

static uint64_t number(const std::string &text, const std::string &option) {
  char *end = nullptr;
  errno = 0;
  uint64_t value = strtoull(text.c_str(), &end, 0);
  if (text.empty() || *end != 0 || errno != 0 || text[0] == '-') fail(option + ": not a number: " + text);
  return value;
}

static double rate(const std::string &text, const std::string &option) {
  char *end = nullptr;
  double value = strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(value > 0 && value <= 64)) fail(option + ": not a rate: " + text);
  return value;
}

static void parse(int argc, char **argv, Options &o, Memory &m) {
  for (int i = 1; i < argc; i += 2) {
    std::string option = argv[i];
    if (i + 1 >= argc) fail(option + ": value missing");
    std::string text = argv[i + 1];
    if (option == "--file") o.file = text;
    else if (option == "--fd") o.fd = int(number(text, option));
    else if (option == "--registers") o.registers = number(text, option);
    else if (option == "--region") {
      auto p = parts(text, 3, option);
      m.regions.push_back({number(p[0], option), number(p[1], option), number(p[2], option)});
    } else if (option == "--dram") {
      auto p = parts(text, 2, option);
      Dram d;
      d.budget.rate = rate(p[0], option);
      d.latency = uint32_t(number(p[1], option));
      m.drams.push_back(d);
    } else if (option == "--port") {
      auto p = parts(text, 3, option);
      Port port;
      port.dram = uint32_t(number(p[0], option));
      port.in.rate = port.out.rate = rate(p[1], option);
      port.outstanding = uint32_t(number(p[2], option));
      m.ports.push_back(port);
    } else if (option == "--stall") m.stall = uint32_t(number(text, option));
    else if (option == "--seed") m.random.state = number(text, option) * 2654435769ull + 88172645463325252ull;
    else if (option == "--trace") {
      auto p = parts(text, 3, option);
      o.trace = p[0];
      o.traceFrom = number(p[1], option);
      o.traceTo = number(p[2], option);
    } else if (option == "--hang") m.hangAt = number(text, option);
    else if (option == "--parent") o.parent = int(number(text, option));
    else if (option == "--irq") o.irq = int(number(text, option));
    else fail(option + ": unknown option");
  }
  if (m.drams.empty()) m.drams.emplace_back();
  while (m.ports.size() < PORTS) m.ports.emplace_back();
  if (m.ports.size() != PORTS) fail("this build has " + std::to_string(PORTS) + " ports");
  for (const Port &p : m.ports)
    if (p.dram >= m.drams.size() || p.outstanding == 0) fail("--port: no such memory, or none outstanding");
  if (m.stall > 1000) fail("--stall: at most 1000 of 1024");
  if (!VM_TRACE && !o.trace.empty()) fail("--trace: this build has no waveforms; take build top-trace");
}

static uint8_t *openFile(Options &o, const Memory &m) {
  if (o.fd < 0) o.fd = open(o.file.c_str(), O_RDWR | O_CLOEXEC);
  const std::string name = o.file.empty() ? "file" : o.file;
  if (o.fd < 0) fail(name + ": " + strerror(errno));
  struct stat st;
  if (fstat(o.fd, &st) != 0) fail(name + ": " + strerror(errno));
  if (!S_ISREG(st.st_mode)) fail(name + ": not a regular file");
  const uint64_t size = uint64_t(st.st_size);
  if (o.registers % 4096 != 0 || size < 4096 || o.registers > size - 4096) fail(name + ": the register page is not in the file");
  for (const Region &r : m.regions)
    if (r.bytes > size || r.offset > size - r.bytes) fail(name + ": a region is not in the file, or the file is too short");
  if (flock(o.fd, LOCK_EX | LOCK_NB) != 0) fail(name + ": another simulator is at work on it");
  void *p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, o.fd, 0);
  if (p == MAP_FAILED) fail(name + ": " + strerror(errno));
  return static_cast<uint8_t *>(p);
}

// ------------------------------------------------------------------------------------------------ wires

// Slices of a port vector, whatever type Verilator gave it: all are little-endian
template <class T, class V> static T take(const V &wires, size_t index) {
  T value;
  memcpy(&value, reinterpret_cast<const uint8_t *>(&wires) + index * sizeof(T), sizeof(T));
  return value;
}
template <class T, class V> static void put(V &wires, size_t index, T value) {
  memcpy(reinterpret_cast<uint8_t *>(&wires) + index * sizeof(T), &value, sizeof(T));
}
template <class V> static bool bit(const V &wires, size_t index) {
  return (reinterpret_cast<const uint8_t *>(&wires)[index / 8] >> (index % 8)) & 1;
}
template <class V> static void setBit(V &wires, size_t index, bool value) {
  uint8_t &byte = reinterpret_cast<uint8_t *>(&wires)[index / 8];
  byte = uint8_t((byte & ~(1 << (index % 8))) | (value << (index % 8)));
}

class Simulation {
 public:
  Simulation(Options &options, Memory &memory) : o(options), m(memory), words(m.file + o.registers) { order(); }

  void run();

 private:
  static constexpr int HOST_FIRST = LM_REG_HEAD / 4;
  static constexpr int HOST_WORDS = (LM_REG_WINDOW - LM_REG_HEAD + (LM_WINDOWS - 1 + PORTS) * LM_WINDOW_STRIDE) / 4;

  Options &o;
  Memory &m;
  VerilatedContext context;
  Vtop top{&context};
#if VM_TRACE
  VerilatedFstC trace;
  bool tracing = false;
#endif
  uint8_t *words;
  // AXI-lite: what is to be written, and which device word is being read
  uint32_t shadow[HOST_WORDS] = {};
  std::deque<int> toWrite;
  bool writing = false, reading = false;
  std::vector<uint32_t> readOrder;
  std::vector<uint32_t> values;
  size_t at = 0;
  int quietPasses = 0;
  int passesToIrq = 0;
  bool first = true;

  uint32_t word(uint32_t offset) {
    return reinterpret_cast<std::atomic<uint32_t> *>(words + offset)->load(std::memory_order_acquire);
  }
  void setWord(uint32_t offset, uint32_t value) {
    reinterpret_cast<std::atomic<uint32_t> *>(words + offset)->store(value, std::memory_order_release);
  }

  // Counters first: what they stand for is read after them, and published before them
  void order() {
    readOrder = {LM_REG_RESETS, LM_REG_ERRORS, LM_REG_COMPLETED, LM_REG_STATE, LM_REG_HEAD_SEEN};
    for (uint32_t r = LM_REG_ERROR_SEQUENCE; r < LM_REG_BUILD_LANES; r += 4)
      if (r != LM_REG_RESETS) readOrder.push_back(r);
    for (uint32_t r = LM_REG_BUILD_LANES; r <= LM_REG_BUILD_STATE_PORTS; r += 4) readOrder.push_back(r);
    readOrder.push_back(LM_REG_VERSION);
    readOrder.push_back(LM_REG_CONTRACT);
    readOrder.push_back(LM_REG_ID);
    values.assign(readOrder.size(), 0);
  }

  bool hostChanged();
  void registers();
  void afterRegisters(bool awready, bool arready, bool rvalid, uint32_t rdata);
  void publish();
  void drive(size_t p);
  void answer(size_t p);
  void tick();
  void idle();
  bool orphaned() { return o.parent != 0 && getppid() != o.parent; }
};

// What was written before the doorbell is there when the device hears it, and the doorbell before a reset: these two are looked at first and passed
// on last
bool Simulation::hostChanged() {
  if (!toWrite.empty()) return true;
  constexpr int HEAD = 0, RESET = (LM_REG_RESET - LM_REG_HEAD) / 4;
  auto pass = [&](int i, uint32_t value) {
    if (value == shadow[i]) return;
    shadow[i] = value;
    toWrite.push_back(i);
  };
  const uint32_t reset = word(LM_REG_RESET), head = word(LM_REG_HEAD);
  for (int i = 0; i < HOST_WORDS; i++)
    if (i != HEAD && i != RESET) pass(i, word(LM_REG_HEAD + 4 * uint32_t(i)));
  pass(HEAD, head);
  pass(RESET, reset);
  return !toWrite.empty();
}

void Simulation::registers() {
  if (!writing && !toWrite.empty()) {
    top.s_awaddr = uint16_t(4 * (HOST_FIRST + toWrite.front()));
    top.s_wdata = shadow[toWrite.front()];
    writing = true;
  }
  top.s_awvalid = top.s_wvalid = writing;
  top.s_arvalid = !reading;
  top.s_araddr = uint16_t(readOrder[at]);
  top.s_bready = top.s_rready = 1;
}

void Simulation::afterRegisters(bool awready, bool arready, bool rvalid, uint32_t rdata) {
  if (writing && awready) {
    writing = false;
    toWrite.pop_front();
    quietPasses = 0;
  }
  if (!reading && arready) reading = true;
  else if (reading && rvalid) {
    reading = false;
    values[at] = rdata;
    // What never changes is read once
    const size_t end = first ? readOrder.size() : readOrder.size() - 3 - (LM_REG_BUILD_STATE_PORTS - LM_REG_BUILD_LANES) / 4 - 1;
    if (++at >= end) publish();
  }
}

void Simulation::publish() {
  for (size_t i = readOrder.size(); i-- > 0;) {
    if (readOrder[i] != LM_REG_ID) setWord(readOrder[i], values[i]);
  }
  // The id stands for: all words are there
  if (first) setWord(LM_REG_ID, values[readOrder.size() - 1]);
  first = false;
  at = 0;
  quietPasses++;
  // Nobody reads: who waits looks by himself now and then
  if (passesToIrq > 0 && --passesToIrq == 0 && write(o.irq, "!", 1) < 0 && errno != EAGAIN) o.irq = -1;
}

void Simulation::drive(size_t p) {
  Port &port = m.ports[p];
  port.in.tick();
  port.out.tick();
  setBit(top.m_arready, p, port.reads.size() < port.outstanding && !m.stalls());
  setBit(top.m_awready, p, port.writes.size() + port.answers.size() < port.outstanding && !m.stalls());
  setBit(top.m_wready, p, !port.writes.empty() && bit(top.m_wvalid, p) && !m.stalls() && m.pay(port, port.out));
  if (!port.rvalid && !port.reads.empty() && !m.stalls() && m.choose(port.reads, port.reading)) port.rvalid = m.pay(port, port.in);
  setBit(top.m_rvalid, p, port.rvalid);
  if (port.rvalid) {
    const Burst &b = port.reads[port.reading];
    const uint8_t *from = b.fault ? nullptr : m.at(b.address, 64);
    uint8_t *to = reinterpret_cast<uint8_t *>(&top.m_rdata) + 64 * p;
    if (from) memcpy(to, from, 64);
    else memset(to, 0xee, 64);
    put<uint8_t>(top.m_rid, p, b.id);
    setBit(top.m_rresp, 2 * p, !from);
    setBit(top.m_rresp, 2 * p + 1, !from);
    setBit(top.m_rlast, p, b.left == 1);
  }
  if (!port.bvalid && !port.answers.empty() && !m.stalls()) port.bvalid = m.choose(port.answers, port.answering);
  setBit(top.m_bvalid, p, port.bvalid);
  if (port.bvalid) {
    const Burst &b = port.answers[port.answering];
    put<uint8_t>(top.m_bid, p, b.id);
    setBit(top.m_bresp, 2 * p, b.fault);
    setBit(top.m_bresp, 2 * p + 1, b.fault);
  }
}

void Simulation::answer(size_t p) {
  Port &port = m.ports[p];
  const uint32_t latency = m.drams[port.dram].latency;
  if (port.rvalid && bit(top.m_rready, p)) {
    port.rvalid = false;
    port.beatsRead++;
    Burst &b = port.reads[port.reading];
    b.address += 64;
    if (--b.left == 0) port.reads.erase(port.reads.begin() + long(port.reading));
  }
  if (port.bvalid && bit(top.m_bready, p)) {
    port.bvalid = false;
    port.answers.erase(port.answers.begin() + long(port.answering));
  }
  if (bit(top.m_wvalid, p) && bit(top.m_wready, p)) {
    Burst &b = port.writes.front();
    uint8_t *to = m.at(b.address, 64);
    if (to) memcpy(to, reinterpret_cast<const uint8_t *>(&top.m_wdata) + 64 * p, 64);
    else b.fault = true;
    port.beatsWritten++;
    b.address += 64;
    const bool last = bit(top.m_wlast, p);
    if (last != (--b.left == 0)) {
      fprintf(stderr, "sim: port %zu: wlast does not fit the length of the burst\n", p);
      _exit(3);
    }
    if (last) {
      b.at = m.cycle + latency;
      port.answers.push_back(b);
      port.writes.pop_front();
    }
  }
  if (bit(top.m_arvalid, p) && bit(top.m_arready, p))
    port.reads.push_back({take<uint64_t>(top.m_araddr, p), take<uint8_t>(top.m_arlen, p) + 1u, take<uint8_t>(top.m_arid, p),
               m.cycle + latency, false});
  if (bit(top.m_awvalid, p) && bit(top.m_awready, p))
    port.writes.push_back(
      {take<uint64_t>(top.m_awaddr, p), take<uint8_t>(top.m_awlen, p) + 1u, take<uint8_t>(top.m_awid, p), 0, false});
}

void Simulation::tick() {
  for (Dram &d : m.drams) d.budget.tick();
  registers();
  // Of ports that share a memory, each comes first every other cycle
  for (size_t p = 0; p < PORTS; p++) drive(m.cycle & 1 ? PORTS - 1 - p : p);
  top.clk = 0;
  top.eval();
  const bool awready = top.s_awready, arready = top.s_arready, rvalid = top.s_rvalid;
  const uint32_t rdata = top.s_rdata;
  const bool irq = top.irq;
  for (size_t p = 0; p < PORTS; p++) answer(p);
#if VM_TRACE
  if (!o.trace.empty() && m.cycle >= o.traceFrom && m.cycle < o.traceTo) {
    if (!tracing) trace.open(o.trace.c_str());
    tracing = true;
    trace.dump(2 * m.cycle);
  }
#endif
  top.clk = 1;
  top.eval();
#if VM_TRACE
  if (tracing) {
    trace.dump(2 * m.cycle + 1);
    if (m.cycle + 1 >= o.traceTo) {
      trace.close();
      tracing = false;
    }
  }
#endif
  // The pass that is under way may have read the words already
  if (irq && o.irq >= 0) passesToIrq = 2, quietPasses = 0;
  afterRegisters(awready, arready, rvalid, rdata);
  m.cycle++;
}

// Nothing to do: look at the file now and then
void Simulation::idle() {
  int waits = 0;
  while (!stopped && !hostChanged()) {
    if (++waits < 200) continue;
    std::this_thread::sleep_for(std::chrono::microseconds(waits < 5000 ? 20 : 500));
    if (waits % 256 == 0 && orphaned()) stopped = 1;
  }
  quietPasses = 0;
}

void Simulation::run() {
#if VM_TRACE
  context.traceEverOn(true);
  top.trace(&trace, 99);
#endif
  setWord(LM_REG_ID, 0);
  top.rst_n = 0;
  for (int i = 0; i < 4; i++) {
    top.clk = 0;
    top.eval();
    top.clk = 1;
    top.eval();
  }
  top.rst_n = 1;
  while (!stopped && !context.gotFinish()) {
    if (m.cycle % 32 == 0 && m.hangAt != m.cycle) hostChanged();
    if (m.cycle % 65536 == 0 && orphaned()) break;
    if (top.working) quietPasses = 0;
    if (!top.working && quietPasses > 1 && toWrite.empty() && !writing) idle();
    tick();
  }
#if VM_TRACE
  if (tracing) trace.close();
#endif
  top.final();
  fprintf(stderr, "sim: stopped after %llu cycles\n", static_cast<unsigned long long>(m.cycle));
}

int main(int argc, char **argv) {
  Options options;
  Memory memory;
  parse(argc, argv, options, memory);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  prctl(PR_SET_TIMERSLACK, 1000);
  struct sigaction action = {};
  action.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  if (options.irq >= 0 && fcntl(options.irq, F_SETFL, O_NONBLOCK) != 0) fail("--irq: no such descriptor");
  action.sa_handler = onBus;
  sigaction(SIGBUS, &action, nullptr);
  memory.file = openFile(options, memory);
  Simulation(options, memory).run();
  return 0;
}
