// SPDX-License-Identifier: Apache-2.0
// The windows of lm-eval's rolling log-likelihood (loglikelihood_rolling of 0.4.13): every token of a document is
// predicted once. A prefix token stands before the document. The windows have W tokens of input and lie side by side;
// the last one is moved back until it has W tokens too, and there only the tokens that no window predicted are scored.
// A document of fewer tokens is one window of its own length.
#pragma once

#include "hici/data/documents.h"
#include "hici/eval/window_batches.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace hici::eval {

struct RollingOptions {
  int64_t seq_len = 0;         // W
  int64_t batch_size = 1;      // windows in one forward
  int64_t segment_length = 1;  // rows are padded to a multiple of it
};

// A batch on the host. Padding is on the right.
struct RollingBatch {
  at::Tensor tokens_BT;          // int64
  at::Tensor targets_BT;         // int64, ops::kIgnoredLabel where nothing is scored
  at::Tensor valid_BT;           // bool; undefined without padding
  std::vector<int64_t> lengths;  // of each row with the padding of its last segment: a row alone would have no more
};

// The windows in batches. `documents` must outlive it.
class RollingWindows : public WindowBatches {
 public:
  RollingWindows(const data::Documents& documents, const RollingOptions& options);

  // "windows 4 to 7 (from token 1024)", for messages.
  std::string described(int64_t batch) const;
  RollingBatch read(int64_t batch) const;
  // Tokens that go through the model, of all windows.
  int64_t input_tokens() const { return input_tokens_; }

 private:
  // Positions in the document with its prefix token, which has position 0.
  struct Window {
    int64_t document_begin;  // in the tokens
    int64_t begin, length;   // of the input
    int64_t num_scored;      // at the end of the input
  };
  Window window(int64_t index) const;
  int64_t tokens_of(size_t document) const;
  void read_row(const Window& window, int64_t row, RollingBatch& batch) const;

  const data::Documents& documents_;
  RollingOptions options_;
  std::vector<int64_t> window_ends_;  // by document, as Documents::ends
  int64_t input_tokens_ = 0;
};

}  // namespace hici::eval
