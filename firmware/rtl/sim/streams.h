// Any number of streams in and out of one module, each with stalls of its own.
#pragma once
#include "bench.h"

namespace bench {

// A stream that the testbench sends: `count` beats of `stride` bytes.
class Input {
 public:
  // From the request: the number of beats, then their bytes.
  explicit Input(size_t stride) : stride_(stride), count_(readWord()), bytes_(readArray<uint8_t>(count_ * stride)) {}

  template <class Valid, class Data>
  void offer(Valid& valid, Data& data, Stall& stall) {
    if (!waiting_) valid = sent_ < count_ && !stall();
    if (valid) setPort(data, &bytes_[sent_ * stride_], stride_ < sizeof(data) ? stride_ : sizeof(data));
  }

  // After settle(). True if a beat moves.
  bool moves(bool valid, bool ready) {
    waiting_ = valid && !ready;
    if (valid && ready) sent_++;
    return valid && ready;
  }

  bool done() const { return sent_ == count_; }
  size_t count() const { return count_; }

 private:
  size_t stride_, count_, sent_ = 0;
  std::vector<uint8_t> bytes_;
  bool waiting_ = false;
};

// A stream that the testbench takes. Fails if data changes or vanishes while it waits, or if there is too much.
class Output {
 public:
  Output(const char* name, size_t stride, size_t count) : name_(name), stride_(stride), count_(count), held_bytes_(stride) {
    bytes_.reserve(stride * count);
  }

  template <class Data>
  bool moves(bool valid, bool ready, const Data& data) {
    std::vector<uint8_t>& now = now_;
    now.assign(stride_, 0);
    if (valid) getPort(now.data(), data, stride_ < sizeof(data) ? stride_ : sizeof(data));
    if (held_ && (!valid || now != held_bytes_)) fail(4, "%s changed while it waited, beat %zu", name_, taken_);
    held_ = valid && !ready;
    held_bytes_ = now;
    if (!valid || !ready) return false;
    if (taken_ == count_) fail(4, "%s: more than %zu beats", name_, count_);
    bytes_.insert(bytes_.end(), now.begin(), now.end());
    taken_++;
    return true;
  }

  bool done() const { return taken_ == count_; }
  void send() const { writeArray(bytes_); }

 private:
  const char* name_;
  size_t stride_, count_, taken_ = 0;
  std::vector<uint8_t> bytes_, held_bytes_, now_;
  bool held_ = false;
};

}  // namespace bench
