// SPDX-License-Identifier: Apache-2.0
// A token file cut into consecutive blocks of one length; the rest at the end is not used.
#pragma once

#include "hici/data/token_file.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::data {

// B sequences and their labels: labels[t] is the token after tokens[t], and ops::kIgnoredLabel (-100) at the end.
struct TokenBatch {
  at::Tensor tokens_BT;  // int64, CPU
  at::Tensor labels_BT;
  int64_t num_targets = 0;      // labels that count
  std::vector<int64_t> blocks;  // which blocks these are
};

class TokenBlocks {
 public:
  // A file too short for one block is an error that names `length_option` (the option that set the length).
  TokenBlocks(const TokenFile& tokens, int64_t block_length, const std::string& length_option);

  int64_t num_blocks() const { return tokens_.size() / block_length_; }
  int64_t block_length() const { return block_length_; }
  TokenBatch batch(const std::vector<int64_t>& blocks) const;

 private:
  const TokenFile& tokens_;
  int64_t block_length_;
};

}  // namespace hici::data
