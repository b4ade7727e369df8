// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/option_values.h"

#include "hici/base/error.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

#include <limits>

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
  for (const std::string word :
       {"8q", "0", "-4", "99999999999999999999", "1.5", "128KB", "0.3K", "-1K", "99999G", "nan"}) {
    EXPECT_THROW(list_of_lengths({"8192," + word}, "--seq_len"), UsageError) << word;
  }
  EXPECT_ERROR_SAYS(list_of_lengths({"8192,8q"}, "--seq_len"), "--seq_len: '8q' is no number of tokens; use a whole");
}

TEST(ListsTest, CountsOfTokensAre1024Based) {
  EXPECT_EQ(parse_tokens("128K", "--seq_len"), 131072);
  EXPECT_EQ(parse_tokens("1m", "--seq_len"), 1048576);
  EXPECT_EQ(parse_tokens("1.5 K", "--seq_len"), 1536);
  EXPECT_EQ(parse_tokens("4G", "--seq_len"), int64_t{1} << 32);
  EXPECT_EQ(parse_tokens("-1", "--context_size", {-1, 100}), -1);
  EXPECT_EQ(list_of_lengths({"8K,16K", "1M"}, "--seq_len"), (Lengths{8192, 16384, 1048576}));
  EXPECT_ERROR_SAYS(list_of_lengths({"9223372036854775807"}, "--seq_len"), "is out of range; use 1 to 70368744177664");
  EXPECT_ERROR_SAYS(list_of_batches({"1,8K"}, "--batch_size"),
                    "--batch_size: '8K' is no whole number; use 1 to 1048576");
}

TEST(ListsTest, WholeNumbersAreNeverClampedOrCut) {
  EXPECT_EQ(parse_whole<int64_t>("+42", "--x"), 42);
  EXPECT_EQ(parse_whole<int64_t>("010", "--x"), 10);
  EXPECT_EQ(parse_whole<uint64_t>("18446744073709551615", "--x"), std::numeric_limits<uint64_t>::max());
  EXPECT_ERROR_SAYS(parse_whole<uint64_t>("-1", "--seed"), "--seed: -1 is out of range; use 0 or more");
  EXPECT_ERROR_SAYS(parse_whole<int>("2147483648", "--x"), "--x: 2147483648 is out of range");
  for (const std::string text : {"", "-", "+-1", "1.5", "1e3", "0x10", "1_000", "12 ", "one"})
    EXPECT_ERROR_SAYS(parse_whole<int64_t>(text, "--x", {1, 9}), "is no whole number; use 1 to 9");
}

TEST(ListsTest, NumbersAreFiniteAndInRange) {
  EXPECT_EQ(parse_real("2e-5", "--x"), 2e-5);
  EXPECT_EQ(parse_real("+.5", "--x"), 0.5);
  for (const std::string text : {"", "nan", "inf", "-inf", "1e", "fast", "1,5", "0x10"})
    EXPECT_ERROR_SAYS(parse_real(text, "--x", {0, 1}), "is no number; use 0 to 1");
  for (const std::string text : {"1e400", "1.01", "-0.1"})
    EXPECT_ERROR_SAYS(parse_real(text, "--x", {0, 1}), "--x: " + text + " is out of range; use 0 to 1");
  EXPECT_ERROR_SAYS(parse_real("2e6", "--x", {0.001, 1e6}), "--x: 2e6 is out of range; use 0.001 to 1000000");
  EXPECT_ERROR_SAYS(parse_real("2e30", "--x", {0, 1e30}), "use 0 to 1e+30");
}

TEST(ListsTest, MemoryAloneIsGibAndUnitsAreAsWritten) {
  EXPECT_EQ(parse_memory("80", "--memory"), uint64_t{80} << 30);
  EXPECT_EQ(parse_memory("24GiB", "--memory"), uint64_t{24} << 30);
  EXPECT_EQ(parse_memory("24GB", "--memory"), 24000000000U);
  EXPECT_ERROR_SAYS(parse_memory("24G", "--memory"), "--memory: '24G' is no size; use a number");
  EXPECT_ERROR_SAYS(parse_memory("nan", "--memory"), "is no size");
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
