// SPDX-License-Identifier: Apache-2.0
// Sliding windows over a token file, as perplexity() of the reference cuts them: they start at 0, stride, 2 * stride,
// ... while start < tokens - seq_len. So a window that ends with the file is left out, and so is what follows the last
// window.
#pragma once

#include "hici/data/token_file.h"
#include "hici/eval/window_batches.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
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
class TokenWindows : public WindowBatches {
 public:
  // A file that is not longer than one window is an hici::Error.
  TokenWindows(const data::TokenFile& tokens, const WindowOptions& options);

  // "windows 4 to 7 (from token 1024)", for messages.
  std::string described(int64_t batch) const;
  // Position of the first token of a window in the file.
  int64_t start_of(int64_t window) const { return window * stride_; }
  at::Tensor read(int64_t batch) const;  // int64 [B, T], on the host
  // Tokens that go through the model, of all windows.
  int64_t input_tokens() const { return num_windows() * seq_len_; }

 private:
  const data::TokenFile& tokens_;
  int64_t seq_len_;
  int64_t stride_;
};

}  // namespace hici::eval
