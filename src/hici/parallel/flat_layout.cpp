// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/flat_layout.h"

#include "hici/base/error.h"

#include <algorithm>
#include <utility>

namespace hici::parallel {
namespace {

int64_t aligned(int64_t size) {
  return (size + FlatLayout::kAlignment - 1) / FlatLayout::kAlignment * FlatLayout::kAlignment;
}

}  // namespace

FlatLayout::FlatLayout(std::vector<int64_t> sizes, int64_t num_shards)
    : sizes_(std::move(sizes)), num_shards_(num_shards) {
  HICI_ASSERT(num_shards >= 1, num_shards, " shards");
  int64_t end = 0;
  for (const int64_t size : sizes_) {
    offsets_.push_back(end);
    end += aligned(size);
  }
  shard_size_ = aligned((end + num_shards - 1) / num_shards);
}

std::vector<FlatLayout::Piece> FlatLayout::pieces(int64_t shard) const {
  const int64_t shard_begin = shard * shard_size_, shard_end = shard_begin + shard_size_;
  std::vector<Piece> found;
  for (size_t i = 0; i < sizes_.size(); ++i) {
    const int64_t begin = std::max(offsets_[i], shard_begin), end = std::min(offsets_[i] + sizes_[i], shard_end);
    if (begin < end) found.push_back({i, begin - offsets_[i], end - begin, begin - shard_begin});
  }
  return found;
}

}  // namespace hici::parallel
