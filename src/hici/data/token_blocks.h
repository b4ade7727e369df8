// SPDX-License-Identifier: Apache-2.0
// A token file cut into consecutive blocks of one length; the rest at the end is not used.
#pragma once

#include "hici/data/batch_source.h"
#include "hici/data/token_file.h"

#include <string>
#include <vector>

namespace hici::data {

// The label of a block's last token is ops::kIgnoredLabel.
// An error that begins with `subject` unless its tokens fill a block.
void check_fills_a_block(const std::string& subject, int64_t num_tokens, int64_t block_length,
                         const std::string& length_option);

class TokenBlocks : public BatchSource {
 public:
  // A file too short for one block is an error that names `length_option` (the option that set the length).
  TokenBlocks(const TokenFile& tokens, int64_t block_length, const std::string& length_option);

  int64_t num_blocks() const { return tokens_.size() / block_length_; }
  int64_t block_length() const { return block_length_; }
  int64_t num_samples() const override { return num_blocks(); }
  TokenBatch batch(const std::vector<int64_t>& blocks) const override;

 private:
  const TokenFile& tokens_;
  int64_t block_length_;
};

}  // namespace hici::data
