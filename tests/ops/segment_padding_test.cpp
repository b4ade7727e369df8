// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_padding.h"

#include "hici/base/error.h"
#include "hici/ops/attention_heads.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

namespace hici::ops {
namespace {

TEST(SegmentPaddingTest, LeadingRowsAndGapAreThoseOfTheMemory) {
  const at::Tensor buffer = at::arange(2 * 5 * 3).view({2, 5, 3});
  const auto padded = as_padded_segments(buffer.narrow(1, 2, 3));  // the last 3 of every 5 rows
  ASSERT_TRUE(padded.has_value());
  EXPECT_EQ(padded->leading_rows, 2);
  EXPECT_EQ(padded->row_gap, 2);
  EXPECT_TRUE(padded->has_prefix_rows(2));
  EXPECT_FALSE(padded->has_prefix_rows(1));
  EXPECT_TRUE(at::equal(padded->with_prefix_rows(2), buffer));
  const auto whole = as_padded_segments(buffer);
  EXPECT_EQ(whole->leading_rows, 0);
  EXPECT_EQ(whole->row_gap, 0);
  EXPECT_FALSE(as_padded_segments(buffer.narrow(2, 0, 2)).has_value());  // columns are missing
}

TEST(SegmentPaddingTest, EmptyTensorsHaveZerosBeforeThem) {
  const at::Tensor t = empty_with_leading_rows({2, 3, 4}, 2, at::TensorOptions().dtype(at::kDouble));
  EXPECT_TRUE(t.is_contiguous());
  const auto padded = as_padded_segments(t);
  EXPECT_EQ(padded->leading_rows, 2);
  EXPECT_EQ(at::as_strided(t, {2 * 4}, {1}, 0).abs().max().item<double>(), 0);
}

// A copy of v on the way, a .contiguous() say, loses the rows. Writing the prefix would then spoil other tensors.
TEST(SegmentPaddingTest, ValuesWithoutTheirPrefixRowsAreABug) {
  const at::Tensor v = at::randn({2, 5, 2, 4}).narrow(1, 2, 3), q = at::randn({1, 6, 2, 4});
  const at::Tensor slots = at::randn({2, 2, 2, 4});
  const RotaryTables tables = make_rotary_tables({1, 0.1}, 1.0, 0, 6, at::kFloat, at::kCPU);
  QkvProjections in{q, q, v, slots, slots};
  in.v_has_prefix_rows = true;
  EXPECT_TRUE(at::equal(prepare_qkv(in, tables, 3).v_GKJD.narrow(1, 0, 2), slots));
  in.v_BTJD = v.contiguous();
  EXPECT_THROW(prepare_qkv(in, tables, 3), InternalError);
}

// Segments that lie on one another, or apart by no whole number of rows.
TEST(SegmentPaddingTest, KnowsSegmentsThatAreNotApart) {
  EXPECT_LT(as_padded_segments(at::ones({1, 4, 3}).expand({2, 4, 3}))->row_gap, 0);
  EXPECT_FALSE(as_padded_segments(at::ones({40}).as_strided({2, 4, 3}, {13, 3, 1})).has_value());
  EXPECT_EQ(as_padded_segments(at::ones({40}).as_strided({2, 4, 3}, {15, 3, 1}))->row_gap, 1);
}

}  // namespace
}  // namespace hici::ops
