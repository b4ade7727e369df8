// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/window_batches.h"

#include "hici/base/human.h"
#include "hici/base/signals.h"

#include <algorithm>
#include <chrono>

namespace hici::eval {

WindowBatches::WindowBatches(int64_t num_windows, int64_t batch_size)
    : num_windows_(num_windows), batch_size_(std::max<int64_t>(1, std::min(batch_size, num_windows))) {}

int64_t WindowBatches::windows_of(int64_t batch) const {
  return std::min(batch_size_, num_windows_ - first_window(batch));
}

double WindowBatches::for_each_batch(const std::function<void(int64_t)>& on_batch,
                                     const std::function<void(int64_t)>& on_progress) const {
  const auto started = std::chrono::steady_clock::now();
  for (int64_t batch = 0; batch < num_batches(); ++batch) {
    const int64_t first = first_window(batch);
    check_stop(" after ", first, " of ", counted(num_windows_, "window"), "; nothing is kept without `output`");
    on_batch(batch);
    on_progress(first + windows_of(batch));
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

}  // namespace hici::eval
