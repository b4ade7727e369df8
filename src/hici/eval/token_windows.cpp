// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/token_windows.h"

#include "hici/base/error.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::eval {

int64_t count_windows(int64_t num_tokens, int64_t seq_len, int64_t stride) {
  const int64_t room = num_tokens - seq_len;
  return room <= 0 ? 0 : (room - 1) / stride + 1;
}

namespace {

// An error where there is none.
int64_t num_windows_in(const data::TokenFile& tokens, const WindowOptions& options) {
  const int64_t length = options.limit_tokens > 0 ? std::min(options.limit_tokens, tokens.size()) : tokens.size();
  const int64_t count = count_windows(length, options.seq_len, options.stride);
  HICI_CHECK(count > 0, tokens.path().string(), ": ", length, " tokens are not more than one window of `seq_len` ",
             options.seq_len, "; use a longer file or a shorter window");
  return count;
}

}  // namespace

TokenWindows::TokenWindows(const data::TokenFile& tokens, const WindowOptions& options)
    : WindowBatches(num_windows_in(tokens, options), options.batch_size),
      tokens_(tokens),
      seq_len_(options.seq_len),
      stride_(options.stride) {}

std::string TokenWindows::described(int64_t batch) const {
  const int64_t first = first_window(batch), count = windows_of(batch);
  return count == 1
             ? detail::concat("window ", first, " (from token ", start_of(first), ")")
             : detail::concat("windows ", first, " to ", first + count - 1, " (from token ", start_of(first), ")");
}

at::Tensor TokenWindows::read(int64_t batch) const {
  const int64_t count = windows_of(batch);
  at::Tensor windows = at::empty({count, seq_len_}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    int64_t* row = windows.mutable_data_ptr<int64_t>() + i * seq_len_;
    tokens_.read_into(start_of(first_window(batch) + i), {row, static_cast<size_t>(seq_len_)});
  }
  return windows;
}

}  // namespace hici::eval
