// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/lists.h"

#include "hici/base/error.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::commands {
namespace {

using Lengths = std::vector<int64_t>;

TEST(ListsTest, TakesCommasAndWordsAlike) {
  EXPECT_EQ(list_of_lengths({"8192,16384"}, "--seq_len"), (Lengths{8192, 16384}));
  EXPECT_EQ(list_of_lengths({"8192", "16384"}, "--seq_len"), (Lengths{8192, 16384}));
  EXPECT_EQ(list_of_lengths({"1, 2", "3,"}, "--seq_len"), (Lengths{1, 2, 3}));
  EXPECT_EQ(list_items({"hici,full_attn", "s2"}, "--attention"), (std::vector<std::string>{"hici", "full_attn", "s2"}));
}

TEST(ListsTest, RefusesWhatIsNoLengthNamingOptionAndItem) {
  for (const std::string word : {"8k", "0", "-4", "99999999999999999999", "1.5"}) {
    EXPECT_THROW(list_of_lengths({"8192," + word}, "--seq_len"), UsageError) << word;
  }
  EXPECT_ERROR_SAYS(list_of_lengths({"8192,8k"}, "--seq_len"), "--seq_len: '8k' is no number of tokens");
}

TEST(ListsTest, RefusesNothingAndTwiceTheSame) {
  EXPECT_THROW(list_items({","}, "--attention"), UsageError);
  EXPECT_THROW(list_items({"hici", "full,hici"}, "--attention"), UsageError);
}

TEST(ListsTest, ReadsSizesAsTransformersDoes) {
  EXPECT_EQ(parse_size("5GB", "--max_shard_size"), 5000000000U);
  EXPECT_EQ(parse_size("30 kb", "--max_shard_size"), 30000U);
  EXPECT_EQ(parse_size("1.5MiB", "--max_shard_size"), 1572864U);
  EXPECT_EQ(parse_size("4096", "--max_shard_size"), 4096U);
  for (const std::string text : {"", "GB", "5XB", "-5GB", "0"})
    EXPECT_THROW(parse_size(text, "--max_shard_size"), UsageError) << text;
  EXPECT_ERROR_SAYS(parse_size("5 gigs", "--max_shard_size"), "--max_shard_size: '5 gigs' is no size; use");
}

}  // namespace
}  // namespace hici::commands
