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

}  // namespace
}  // namespace hici::commands
