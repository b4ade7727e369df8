// SPDX-License-Identifier: Apache-2.0
// A short bound on the processor time of tokenizers and chat templates, so that a test meets it at once.
#pragma once

#include <cstdint>

extern "C" void hici_text_set_cpu_bound(uint64_t millis);  // of hici_text.h, which only text/ includes

namespace hici::testing {

class ScopedCpuBound {
 public:
  explicit ScopedCpuBound(uint64_t millis) { hici_text_set_cpu_bound(millis); }
  ~ScopedCpuBound() { hici_text_set_cpu_bound(0); }
  ScopedCpuBound(const ScopedCpuBound&) = delete;
  ScopedCpuBound& operator=(const ScopedCpuBound&) = delete;
};

}  // namespace hici::testing
