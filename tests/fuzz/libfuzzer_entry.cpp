// SPDX-License-Identifier: Apache-2.0
// What libFuzzer calls, for the target HICI_FUZZ_READ (read_NAME) of the program fuzz_NAME.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hici::fuzz::accepts(hici::fuzz::HICI_FUZZ_READ, {reinterpret_cast<const char*>(data), size});
  return 0;
}
