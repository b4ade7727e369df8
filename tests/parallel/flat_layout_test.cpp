// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/flat_layout.h"

#include <gtest/gtest.h>

#include <random>

namespace hici::parallel {
namespace {

// Every element of every tensor is in one shard, once, where the layout says.
TEST(FlatLayoutTest, PiecesOfAllShardsAreTheTensors) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<int64_t> sizes(1 + random() % 6);
    for (int64_t& size : sizes) size = 1 + static_cast<int64_t>(random() % 500);
    const int64_t shards = 1 + static_cast<int64_t>(random() % 8);
    const FlatLayout layout(sizes, shards);
    std::vector<int64_t> next(sizes.size(), 0);
    for (int64_t shard = 0; shard < shards; ++shard) {
      for (const FlatLayout::Piece& piece : layout.pieces(shard)) {
        EXPECT_EQ(piece.begin, next[piece.tensor]) << "in order, without a hole";
        EXPECT_EQ(shard * layout.shard_size() + piece.in_shard, layout.offset(piece.tensor) + piece.begin);
        EXPECT_LE(piece.in_shard + piece.size, layout.shard_size());
        EXPECT_EQ(piece.in_shard % FlatLayout::kAlignment, 0) << "kernels read 16 bytes at a time";
        next[piece.tensor] += piece.size;
      }
    }
    EXPECT_EQ(next, sizes);
    EXPECT_EQ(layout.shard_size() % FlatLayout::kAlignment, 0);
  }
}

TEST(FlatLayoutTest, MoreShardsThanElementsLeaveSomeEmpty) {
  const FlatLayout layout({3}, 4);
  EXPECT_EQ(layout.pieces(0).size(), 1u);
  for (int64_t shard = 1; shard < 4; ++shard) EXPECT_TRUE(layout.pieces(shard).empty());
}

}  // namespace
}  // namespace hici::parallel
