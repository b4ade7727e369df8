// SPDX-License-Identifier: Apache-2.0
// What libFuzzer calls. fuzz_targets is one program for all targets, because each would link all of libhici; the
// variable HICI_FUZZ_TARGET names the one that it runs.
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

hici::fuzz::Target* target = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("HICI_FUZZ_TARGET");
  const auto targets = hici::fuzz::all_targets();
  const auto found = std::ranges::find_if(
      targets, [&](const auto& each) { return name != nullptr && each.name == std::string_view(name); });
  if (found == targets.end()) {
    std::cerr << "HICI_FUZZ_TARGET is none of:";
    for (const hici::fuzz::TargetEntry& each : targets) std::cerr << ' ' << each.name;
    std::cerr << '\n';
    std::exit(2);
  }
  target = found->read;
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hici::fuzz::accepts(target, {reinterpret_cast<const char*>(data), size});
  return 0;
}
