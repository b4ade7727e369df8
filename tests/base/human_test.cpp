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

}  // namespace
}  // namespace hici
