// SPDX-License-Identifier: Apache-2.0
#include "hici/config/divides.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::config {
namespace {

TEST(DividesTest, NamesTheDivisorsNextToTheValue) {
  EXPECT_EQ(why_not_a_divisor(6, "--seq_len", 96), "");
  EXPECT_EQ(why_not_a_divisor(5, "--seq_len", 96), "5 does not divide --seq_len 96; use 4 or 6");
  EXPECT_EQ(why_not_a_divisor(50, "--seq_len", 96), "50 does not divide --seq_len 96; use 48 or 96");
  EXPECT_EQ(why_not_a_divisor(97, "--seq_len", 96), "97 does not divide --seq_len 96; use 96");
  EXPECT_EQ(why_not_a_divisor(0, "--seq_len", 96), "0 does not divide --seq_len 96; use 1");
  EXPECT_EQ(why_not_a_divisor(-3, "--seq_len", 97), "-3 does not divide --seq_len 97; use 1");
}

TEST(DividesTest, TellsAllWaysOut) {
  EXPECT_NO_THROW(check_divides("--sft_segment_length", 32, "--model_max_length", 128));
  EXPECT_ERROR_SAYS(
      check_divides("--sft_segment_length", 48, "--model_max_length", 128, ", or 0 for one segment"),
      "--sft_segment_length: 48 does not divide --model_max_length 128; use 32 or 64, or 0 for one segment");
}

TEST(DividesTest, SegmentsAreSaidByTheirLengthOrTheirNumber) {
  EXPECT_NO_THROW(check_segments(24, 5, "--seq_len", 96));
  EXPECT_ERROR_SAYS(check_segments(36, 4, "--seq_len", 96),
                    "`segment_length`: 36 does not divide --seq_len 96; use 32");
  EXPECT_ERROR_SAYS(check_segments(0, 5, "--seq_len", 96),
                    "`num_segments`: 5 does not divide --seq_len 96; use 4 or 6");
}

}  // namespace
}  // namespace hici::config
