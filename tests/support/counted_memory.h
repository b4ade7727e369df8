// SPDX-License-Identifier: Apache-2.0
// Bytes that LibTorch's CPU allocator gives out on this thread (and its backward pass) while an object of this lives.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>

namespace hici::testing {

class CountedMemory {
 public:
  CountedMemory() : counter_(std::make_shared<Counter>()), guard_(c10::DebugInfoKind::PROFILER_STATE, counter_) {}

  int64_t live() const { return counter_->live; }
  int64_t peak() const { return counter_->peak; }

 private:
  // The hook that LibTorch's profiler uses. What was allocated before is not reported when it goes.
  struct Counter : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
      live += size;
      peak = std::max(peak, live);
    }
    bool memoryProfilingEnabled() const override { return true; }
    int64_t live = 0, peak = 0;
  };

  std::shared_ptr<Counter> counter_;
  c10::DebugInfoGuard guard_;
};

}  // namespace hici::testing
