// A testbench in a Node process. run(requests: Buffer): Buffer takes the bytes that the testbench's own process would read, and gives those that it would
// write. Where the process would end with an exit code, it throws an error with that code and the process's message; the next call starts afresh.
#include <node_api.h>

#include <exception>
#include <string>

#include "bench.h"

int benchMain();  // of the testbench

static napi_value run(napi_env env, napi_callback_info info) {
  size_t count = 1, size = 0;
  napi_value argument, output;
  void* bytes = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  if (count != 1 || napi_get_buffer_info(env, argument, &bytes, &size) != napi_ok) {
    napi_throw_type_error(env, nullptr, "run() takes a Buffer");
    return nullptr;
  }
  bench::request = static_cast<const uint8_t*>(bytes);
  bench::requestEnd = bench::request + size;
  bench::result.clear();
  try {
    benchMain();
  } catch (const bench::Failure& failure) {
    napi_throw_error(env, std::to_string(failure.code).c_str(), failure.message.c_str());
    return nullptr;
  } catch (const std::exception& failure) {
    napi_throw_error(env, nullptr, failure.what());  // a request of more than there is memory for
    return nullptr;
  }
  napi_create_buffer_copy(env, bench::result.size(), bench::result.data(), nullptr, &output);
  return output;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "run", NAPI_AUTO_LENGTH, run, nullptr, &function);
  napi_set_named_property(env, exports, "run", function);
  return exports;
}
