// SPDX-License-Identifier: Apache-2.0
// Tensors as one vector, one behind the other, cut into equal shards: what a collective moves at once, and what each
// process of a group keeps of the optimizer's state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hici::parallel {

class FlatLayout {
 public:
  // `sizes`: elements of each tensor. Every tensor begins, and every shard ends, at a multiple of kAlignment elements,
  // so that kernels may read pieces of them 16 bytes at a time.
  FlatLayout(std::vector<int64_t> sizes, int64_t num_shards);

  static constexpr int64_t kAlignment = 64;

  // The part of a tensor that lies in one shard.
  struct Piece {
    size_t tensor;
    int64_t begin;     // first element, in the tensor
    int64_t size;      // elements
    int64_t in_shard;  // where it begins, in the shard
  };

  int64_t total() const { return shard_size_ * num_shards_; }  // padding included
  int64_t shard_size() const { return shard_size_; }
  int64_t num_shards() const { return num_shards_; }
  int64_t num_tensors() const { return static_cast<int64_t>(sizes_.size()); }
  int64_t offset(size_t tensor) const { return offsets_[tensor]; }
  int64_t size(size_t tensor) const { return sizes_[tensor]; }
  // In the order of the tensors.
  std::vector<Piece> pieces(int64_t shard) const;

 private:
  std::vector<int64_t> sizes_, offsets_;
  int64_t num_shards_;
  int64_t shard_size_ = 0;
};

}  // namespace hici::parallel
