// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/token_windows.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/signals.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

namespace hici::eval {

int64_t count_windows(int64_t num_tokens, int64_t seq_len, int64_t stride) {
  const int64_t room = num_tokens - seq_len;
  return room <= 0 ? 0 : (room - 1) / stride + 1;
}

TokenWindows::TokenWindows(const data::TokenFile& tokens, const WindowOptions& options)
    : tokens_(tokens), options_(options) {
  const int64_t length = options.limit_tokens > 0 ? std::min(options.limit_tokens, tokens.size()) : tokens.size();
  num_windows_ = count_windows(length, options.seq_len, options.stride);
  HICI_CHECK(num_windows_ > 0, tokens.path().string(), ": ", length,
             " tokens are not more than one window of `seq_len` ", options.seq_len,
             "; use a longer file or a shorter window");
  options_.batch_size = std::min(options_.batch_size, num_windows_);  // what is beyond it overflows below
}

std::string TokenWindows::described(int64_t batch) const {
  const int64_t first = first_window(batch), count = windows_of(batch);
  return count == 1
             ? detail::concat("window ", first, " (from token ", start_of(first), ")")
             : detail::concat("windows ", first, " to ", first + count - 1, " (from token ", start_of(first), ")");
}

int64_t TokenWindows::windows_of(int64_t batch) const {
  return std::min(options_.batch_size, num_windows_ - first_window(batch));
}

double TokenWindows::for_each_batch(const std::function<void(int64_t)>& on_batch,
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

at::Tensor TokenWindows::read(int64_t batch) const {
  const int64_t count = windows_of(batch);
  at::Tensor windows = at::empty({count, options_.seq_len}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    int64_t* row = windows.mutable_data_ptr<int64_t>() + i * options_.seq_len;
    tokens_.read_into(start_of(first_window(batch) + i), {row, static_cast<size_t>(options_.seq_len)});
  }
  return windows;
}

}  // namespace hici::eval
