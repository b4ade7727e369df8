// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_blocks.h"

#include "hici/base/error.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>

namespace hici::data {

void check_fills_a_block(const std::string& subject, int64_t num_tokens, int64_t block_length,
                         const std::string& length_option) {
  HICI_CHECK(num_tokens >= block_length, subject, ": ", num_tokens, " tokens are less than one block of ", block_length,
             "; use a larger file or a smaller ", length_option);
}

TokenBlocks::TokenBlocks(const TokenFile& tokens, int64_t block_length, const std::string& length_option)
    : tokens_(tokens), block_length_(block_length) {
  HICI_CHECK_USAGE(block_length >= 2, length_option, ": ", block_length,
                   " is too short; a block needs at least 2 tokens");
  check_fills_a_block(tokens.path().string(), tokens.size(), block_length, length_option);
}

TokenBatch TokenBlocks::batch(const std::vector<int64_t>& blocks) const {
  const auto rows = static_cast<int64_t>(blocks.size());
  TokenBatch batch{at::empty({rows, block_length_}, at::kLong), {}, rows * (block_length_ - 1), blocks};
  for (int64_t row = 0; row < rows; ++row) {
    int64_t* out = batch.tokens_BT.mutable_data_ptr<int64_t>() + row * block_length_;
    tokens_.read_into(blocks[static_cast<size_t>(row)] * block_length_, {out, static_cast<size_t>(block_length_)});
  }
  const at::Tensor end = at::full({rows, 1}, ops::kIgnoredLabel, at::kLong);
  batch.labels_BT = at::cat({batch.tokens_BT.narrow(1, 1, block_length_ - 1), end}, 1);
  return batch;
}

}  // namespace hici::data
