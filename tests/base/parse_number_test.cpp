// SPDX-License-Identifier: Apache-2.0
#include "hici/base/parse_number.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace hici {
namespace {

TEST(ParseNumberTest, TakesNumbersAndNothingElse) {
  EXPECT_EQ(parse_number<int64_t>("-42"), -42);
  EXPECT_EQ(parse_number<uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_number<double>("2.5e3"), 2500.0);
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "x", "0x1", "9223372036854775808", "1e3", "-"})
    EXPECT_EQ(parse_number<int64_t>(text), std::nullopt) << text;
  EXPECT_EQ(parse_number<uint64_t>("-1"), std::nullopt);
  EXPECT_EQ(parse_number<double>("1e999"), std::nullopt);
  EXPECT_EQ(parse_number<int64_t>(std::string_view("1\0", 2)), std::nullopt);
}

}  // namespace
}  // namespace hici
