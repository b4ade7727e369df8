// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/rolling_windows.h"

#include "hici/base/error.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>

namespace hici::eval {
namespace {

int64_t count_of(int64_t tokens, int64_t seq_len) { return (tokens + seq_len - 1) / seq_len; }

int64_t rounded_up(int64_t length, int64_t step) { return count_of(length, step) * step; }

std::vector<int64_t> ends_of_windows(const data::Documents& documents, int64_t seq_len) {
  std::vector<int64_t> ends;
  int64_t end = 0;
  for (size_t i = 0; i < documents.ends.size(); ++i)
    ends.push_back(end += count_of(documents.ends[i] - documents.begin_of(i), seq_len));
  return ends;
}

}  // namespace

RollingWindows::RollingWindows(const data::Documents& documents, const RollingOptions& options)
    : WindowBatches(ends_of_windows(documents, options.seq_len).back(), options.batch_size),
      documents_(documents),
      options_(options),
      window_ends_(ends_of_windows(documents, options.seq_len)) {
  for (size_t i = 0; i < documents.ends.size(); ++i) {
    const int64_t tokens = tokens_of(i), windows = count_of(tokens, options.seq_len);
    input_tokens_ += windows * std::min(tokens, options.seq_len);
  }
}

int64_t RollingWindows::tokens_of(size_t document) const {
  return documents_.ends[document] - documents_.begin_of(document);
}

RollingWindows::Window RollingWindows::window(int64_t index) const {
  const auto found = std::upper_bound(window_ends_.begin(), window_ends_.end(), index);
  const auto document = static_cast<size_t>(found - window_ends_.begin());
  const int64_t in_document = index - (document == 0 ? 0 : window_ends_[document - 1]);
  const int64_t tokens = tokens_of(document), length = std::min(tokens, options_.seq_len);
  const int64_t first_target = in_document * options_.seq_len;
  const int64_t begin = std::min(first_target, tokens - length);
  return {documents_.begin_of(document), begin, length, begin + length - first_target};
}

std::string RollingWindows::described(int64_t batch) const {
  const int64_t first = first_window(batch), count = windows_of(batch);
  const Window from = window(first);
  const int64_t token = from.document_begin + from.begin;
  return count == 1 ? detail::concat("window ", first, " (from token ", token, ")")
                    : detail::concat("windows ", first, " to ", first + count - 1, " (from token ", token, ")");
}

void RollingWindows::read_row(const Window& window, int64_t row, RollingBatch& batch) const {
  const int64_t width = batch.tokens_BT.size(1);
  int64_t* tokens = batch.tokens_BT.mutable_data_ptr<int64_t>() + row * width;
  int64_t* targets = batch.targets_BT.mutable_data_ptr<int64_t>() + row * width;
  // The input at position p is the token before it in the document, at 0 the prefix; its target is the token at p.
  const auto length = static_cast<size_t>(window.length);
  documents_.tokens.read_into(window.document_begin + window.begin, {targets, length});
  tokens[0] = window.begin == 0 ? documents_.prefix_token
                                : documents_.tokens.read(window.document_begin + window.begin - 1, 1).front();
  std::copy_n(targets, length - 1, tokens + 1);
  std::fill_n(targets, window.length - window.num_scored, ops::kIgnoredLabel);
  if (batch.valid_BT.defined()) batch.valid_BT[row].narrow(0, 0, window.length).fill_(true);
}

RollingBatch RollingWindows::read(int64_t batch) const {
  RollingBatch out;
  std::vector<Window> windows;
  bool has_padding = false;
  for (int64_t i = 0; i < windows_of(batch); ++i) {
    windows.push_back(window(first_window(batch) + i));
    out.lengths.push_back(rounded_up(windows.back().length, options_.segment_length));
  }
  const int64_t width = *std::max_element(out.lengths.begin(), out.lengths.end());
  for (const Window& window : windows) has_padding = has_padding || window.length < width;
  const auto rows = static_cast<int64_t>(windows.size());
  out.tokens_BT = at::zeros({rows, width}, at::kLong);
  out.targets_BT = at::full({rows, width}, ops::kIgnoredLabel, at::kLong);
  if (has_padding) out.valid_BT = at::zeros({rows, width}, at::kBool);
  for (int64_t i = 0; i < rows; ++i) read_row(windows[static_cast<size_t>(i)], i, out);
  return out;
}

}  // namespace hici::eval
