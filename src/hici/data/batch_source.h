// SPDX-License-Identifier: Apache-2.0
// What a trainer learns from: samples by number, as batches of token ids and labels. Token files (token_blocks.h) and
// examples of fine-tuning (sft/examples.h) are such.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace hici::data {

// For each row of a batch the lengths, padding included, of the sequences that stand in it one after the other.
using SequenceLengths = std::vector<std::vector<int64_t>>;

// B rows and their labels: labels[t] is the token after tokens[t], or ops::kIgnoredLabel (-100) where none is learned.
struct TokenBatch {
  at::Tensor tokens_BT;  // int64, CPU
  at::Tensor labels_BT;
  int64_t num_targets = 0;      // labels that count
  std::vector<int64_t> blocks;  // which samples these are
  at::Tensor valid_BT = {};     // bool; false: padding, behind each sequence. Undefined: none
  // Sequences of a row do not see each other; what is left of a row is padding. Empty: every row is one sequence.
  SequenceLengths sequences = {};

  int64_t num_tokens() const { return valid_BT.defined() ? valid_BT.sum().item<int64_t>() : tokens_BT.numel(); }
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t num_samples() const = 0;
  virtual TokenBatch batch(const std::vector<int64_t>& samples) const = 0;
};

}  // namespace hici::data
