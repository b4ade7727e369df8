// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/segment_cut.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <vector>

namespace hici::parallel {
namespace {

// Two rows of seven segments of two tokens, for three processes: three segments each, of which two are padding.
at::Tensor own(int64_t process, bool is_dealt) {
  const at::Tensor tokens = at::arange(14, at::kLong).expand({2, 14});
  const at::Tensor part = SegmentCut{process, 3, 2, is_dealt}.own(tokens, -1);
  EXPECT_TRUE(at::equal(part[0], part[1]));
  return part[0];
}

at::Tensor tokens(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

TEST(SegmentCutTest, RunsAreNeighboursAndPaddingIsLast) {
  EXPECT_TRUE(at::equal(own(0, false), tokens({0, 1, 2, 3, 4, 5})));
  EXPECT_TRUE(at::equal(own(1, false), tokens({6, 7, 8, 9, 10, 11})));
  EXPECT_TRUE(at::equal(own(2, false), tokens({12, 13, -1, -1, -1, -1})));
}

TEST(SegmentCutTest, DealtSegmentsAreOneOfEachRound) {
  EXPECT_TRUE(at::equal(own(0, true), tokens({0, 1, 6, 7, 12, 13})));
  EXPECT_TRUE(at::equal(own(1, true), tokens({2, 3, 8, 9, -1, -1})));
  EXPECT_TRUE(at::equal(own(2, true), tokens({4, 5, 10, 11, -1, -1})));
}

TEST(SegmentCutTest, SaysWhichSegmentsAreHere) {
  const SegmentCut run{1, 3, 2, false}, dealt{1, 3, 2, true};
  for (const SegmentCut& cut : {run, dealt}) {
    EXPECT_EQ(cut.segments_here(14), 3);
    EXPECT_TRUE(cut.has_padding(14));
    EXPECT_FALSE(cut.has_padding(12));
  }
  EXPECT_EQ(run.number_of(2, 3), 5);
  EXPECT_EQ(dealt.number_of(2, 3), 7);
}

TEST(SegmentCutTest, OfOneProcessAllIsHere) {
  const at::Tensor whole = at::arange(6, at::kLong).view({1, 6});
  const SegmentCut cut = SegmentCut::of({}, 0, false);
  EXPECT_TRUE(cut.own(whole, -1).is_same(whole));
  EXPECT_FALSE(cut.has_padding(6));
}

}  // namespace
}  // namespace hici::parallel
