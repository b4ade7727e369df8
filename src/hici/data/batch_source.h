// SPDX-License-Identifier: Apache-2.0
// Training data: samples by index, as batches of token ids and labels. Implemented by token files (token_blocks.h) and
// examples of fine-tuning (sft/examples.h).
#pragma once

#include "hici/data/sample_order.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace hici::data {

// For each row of a batch the lengths, padding included, of its consecutive sequences.
using SequenceLengths = std::vector<std::vector<int64_t>>;

// B rows and their labels: labels[t] is the token after tokens[t], or ops::kIgnoredLabel (-100): no label.
struct TokenBatch {
  at::Tensor tokens_BT;  // int64, CPU
  at::Tensor labels_BT;
  int64_t num_targets = 0;      // number of labels
  std::vector<int64_t> blocks;  // indices of the samples
  at::Tensor valid_BT = {};     // bool; false: padding, after each sequence. Undefined: no padding
  // Sequences of a row do not attend to each other; the rest of a row is padding. Empty: every row is one sequence.
  SequenceLengths sequences = {};

  int64_t num_tokens() const { return valid_BT.defined() ? valid_BT.sum().item<int64_t>() : tokens_BT.numel(); }
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t num_samples() const = 0;
  virtual TokenBatch batch(const std::vector<int64_t>& samples) const = 0;
  // That of a BlockSampler (block_sampler.h), where a source has none of its own.
  virtual std::unique_ptr<SampleOrder> order(bool shuffle, uint64_t seed) const;
};

}  // namespace hici::data
