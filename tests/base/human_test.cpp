// SPDX-License-Identifier: Apache-2.0
#include "hici/base/human.h"

#include <gtest/gtest.h>

#include <limits>

namespace hici {
namespace {

TEST(HumanTest, CountsHaveThreeDigits) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999.4), "999");
  EXPECT_EQ(human_count(999.6), "1.00k");
  EXPECT_EQ(human_count(8123.4), "8.12k");
  EXPECT_EQ(human_count(99960), "100k");
  EXPECT_EQ(human_count(1234567), "1.23M");
}

TEST(HumanTest, BytesGoInStepsOf1024) {
  EXPECT_EQ(human_bytes(512), "512 B");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(human_bytes(int64_t{150} << 30), "150 GiB");
}

TEST(HumanTest, DurationsHaveTwoUnits) {
  EXPECT_EQ(human_duration(0.4), "0s");
  EXPECT_EQ(human_duration(59.6), "1m00s");
  EXPECT_EQ(human_duration(185), "3m05s");
  EXPECT_EQ(human_duration(7440), "2h04m");
  EXPECT_EQ(human_duration(442800), "5d03h");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::infinity()), "?");
}

TEST(HumanTest, ShortDurationsKeepHundredths) {
  EXPECT_EQ(short_duration(0.418), "0.42 s");
  EXPECT_EQ(short_duration(59.99), "59.99 s");
  EXPECT_EQ(short_duration(59.999), "1m00s");
  EXPECT_EQ(short_duration(-1), "?");
}

TEST(HumanTest, OneOfAThingHasNoPlural) {
  EXPECT_EQ(counted(0, "step"), "0 steps");
  EXPECT_EQ(counted(1, "step"), "1 step");
  EXPECT_EQ(counted(2, "step"), "2 steps");
}

TEST(HumanTest, NumbersHaveNoMoreDigitsThanTheyNeed) {
  EXPECT_EQ(shortest_number(0.0005), "0.0005");
  EXPECT_EQ(shortest_number(2e-5), "2e-05");
  EXPECT_EQ(shortest_number(0.3), "0.3");
  EXPECT_EQ(shortest_number(20), "20");
  EXPECT_EQ(shortest_number(1000000), "1000000");
  EXPECT_EQ(shortest_number(0), "0");
  EXPECT_EQ(shortest_number(-1.5e300), "-1.5e+300");
  EXPECT_EQ(shortest_number(0.1 + 0.2), "0.30000000000000004");
}

TEST(HumanTest, AWordOfAShellIsQuotedWhereItMustBe) {
  EXPECT_EQ(shell_word("runs/hici-8k/data.bin"), "runs/hici-8k/data.bin");
  EXPECT_EQ(shell_word("my model"), "'my model'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("$HOME"), "'$HOME'");
  EXPECT_EQ(shell_word("~/m"), "'~/m'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace hici
