// SPDX-License-Identifier: Apache-2.0
// Sliding windows over a token file, as perplexity() of the reference cuts them: they start at 0, stride, 2 * stride,
// ... while start < tokens - seq_len.
#pragma once

#include "hici/data/token_file.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>

namespace hici::eval {

// Number of windows; 0 if the data is not longer than one window.
int64_t count_windows(int64_t num_tokens, int64_t seq_len, int64_t stride);

struct WindowOptions {
  int64_t seq_len = 0;
  int64_t stride = 256;      // --sliding_window
  int64_t batch_size = 1;    // windows in one forward
  int64_t limit_tokens = 0;  // 0: the whole file
};

// The windows in batches. `tokens` must outlive it.
class TokenWindows {
 public:
  // A file that is not longer than one window is an hici::Error.
  TokenWindows(const data::TokenFile& tokens, const WindowOptions& options);

  int64_t num_windows() const { return num_windows_; }
  int64_t num_batches() const { return (num_windows_ + options_.batch_size - 1) / options_.batch_size; }
  int64_t first_window(int64_t batch) const { return batch * options_.batch_size; }
  int64_t windows_of(int64_t batch) const;
  // "windows 4 to 7 (from token 1024)", for messages.
  std::string described(int64_t batch) const;
  // Position of the first token of a window in the file.
  int64_t start_of(int64_t window) const { return window * options_.stride; }
  at::Tensor read(int64_t batch) const;  // int64 [B, T], on the host
  // Calls `on_batch` with each batch, then `on_progress` with the number of finished windows. An hici::Error if a stop
  // signal came before a batch. Returns the seconds in total.
  double for_each_batch(const std::function<void(int64_t batch)>& on_batch,
                        const std::function<void(int64_t windows_done)>& on_progress) const;

 private:
  const data::TokenFile& tokens_;
  WindowOptions options_;
  int64_t num_windows_;
};

}  // namespace hici::eval
