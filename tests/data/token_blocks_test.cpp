// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_blocks.h"

#include "hici/base/error.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <numeric>

namespace hici::data {
namespace {

TokenFile counting_file(const std::filesystem::path& path, uint32_t count) {
  std::vector<uint32_t> ids(count);
  std::iota(ids.begin(), ids.end(), 0u);
  TokenFileWriter writer(path, TokenType::kUint16);
  writer.write(ids);
  writer.commit({.vocab_size = 1000, .sources = {"counting"}});
  return TokenFile::open(path, {.vocab_size = 1000});
}

TEST(TokenBlocksTest, LabelsAreTheNextTokensAndTheLastIsIgnored) {
  const testing::TemporaryFolder folder;
  const TokenFile file = counting_file(folder.path() / "t.bin", 11);
  const TokenBlocks blocks(file, 4, "`model_max_length`");
  EXPECT_EQ(blocks.num_blocks(), 2);  // three tokens at the end make no block
  const TokenBatch batch = blocks.batch({1, 0});
  EXPECT_TRUE(at::equal(batch.tokens_BT, at::tensor({4, 5, 6, 7, 0, 1, 2, 3}, at::kLong).view({2, 4})));
  EXPECT_TRUE(at::equal(batch.labels_BT, at::tensor({5, 6, 7, -100, 1, 2, 3, -100}, at::kLong).view({2, 4})));
  EXPECT_EQ(batch.num_targets, 6);
}

TEST(TokenBlocksTest, AFileShorterThanABlockNamesTheOption) {
  const testing::TemporaryFolder folder;
  const TokenFile file = counting_file(folder.path() / "t.bin", 11);
  EXPECT_THROW(TokenBlocks(file, 12, "`model_max_length`"), Error);
  EXPECT_THROW(TokenBlocks(file, 1, "`model_max_length`"), UsageError);
}

}  // namespace
}  // namespace hici::data
