// SPDX-License-Identifier: Apache-2.0
// Windows in batches, whatever they are cut from: which batch has which windows, and the loop over all.
#pragma once

#include <cstdint>
#include <functional>

namespace hici::eval {

class WindowBatches {
 public:
  // No more windows in a batch than there are.
  WindowBatches(int64_t num_windows, int64_t batch_size);

  int64_t num_windows() const { return num_windows_; }
  int64_t num_batches() const { return (num_windows_ + batch_size_ - 1) / batch_size_; }
  int64_t first_window(int64_t batch) const { return batch * batch_size_; }
  int64_t windows_of(int64_t batch) const;
  // Calls `on_batch` with each batch, then `on_progress` with the number of finished windows. An hici::Error if a stop
  // signal came before a batch. Returns the seconds in total.
  double for_each_batch(const std::function<void(int64_t batch)>& on_batch,
                        const std::function<void(int64_t windows_done)>& on_progress) const;

 private:
  int64_t num_windows_;
  int64_t batch_size_;
};

}  // namespace hici::eval
