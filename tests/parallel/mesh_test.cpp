// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/mesh.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::parallel {
namespace {

TEST(MeshTest, ProcessesOfASequenceAreNeighbours) {
  const Mesh mesh = make_mesh(8, 4, "`segment_parallel`");
  EXPECT_EQ(mesh.data, 2);
  for (int64_t rank = 0; rank < 8; ++rank) {  // 4 to 7 share the second sequence
    EXPECT_EQ(mesh.data_rank(rank), rank < 4 ? 0 : 1) << rank;
    EXPECT_EQ(mesh.segment_rank(rank), rank % 4) << rank;
  }
}

TEST(MeshTest, WhatDoesNotDivideIsRefused) {
  EXPECT_EQ(testing::error_message([] { make_mesh(6, 4, "`segment_parallel`"); }),
            "`segment_parallel`: 4 does not divide the 6 processes; use as many processes as are a multiple of it, or "
            "a number "
            "that divides them");
}

TEST(MeshTest, NoProcessIsWithoutASegment) {
  check_enough_segments(4, 4, "`segment_parallel`");
  EXPECT_EQ(testing::error_message([] { check_enough_segments(5, 4, "`segment_parallel`"); }),
            "`segment_parallel`: 5 processes cannot share a sequence of 4 segments; use as many at most");
}

}  // namespace
}  // namespace hici::parallel
