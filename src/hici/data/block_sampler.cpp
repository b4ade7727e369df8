// SPDX-License-Identifier: Apache-2.0
#include "hici/data/block_sampler.h"

#include "hici/base/error.h"

#include <numeric>
#include <random>
#include <utility>

namespace hici::data {
namespace {

// A number below `bound` without bias; std::uniform_int_distribution differs between standard libraries.
uint64_t draw_below(std::mt19937_64& engine, uint64_t bound) {
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t drawn = engine();
  while (drawn >= limit) drawn = engine();
  return drawn % bound;
}

}  // namespace

BlockSampler::BlockSampler(int64_t num_blocks, bool shuffle, uint64_t seed)
    : num_blocks_(num_blocks), shuffle_(shuffle), seed_(seed) {
  HICI_ASSERT(num_blocks > 0, "a sampler over nothing");
  prepare_epoch();
}

int64_t BlockSampler::next() {
  if (position_.index == num_blocks_) seek({position_.epoch + 1, 0});
  const int64_t place = position_.index++;
  return shuffle_ ? order_[static_cast<size_t>(place)] : place;
}

void BlockSampler::seek(const SamplerPosition& position) {
  HICI_CHECK(position.epoch >= 0 && position.index >= 0 && position.index <= num_blocks_,
             "position of the data: epoch ", position.epoch, ", block ", position.index, " is outside of ", num_blocks_,
             " blocks");
  const bool new_epoch = position.epoch != position_.epoch;
  position_ = position;
  if (new_epoch) prepare_epoch();
}

void BlockSampler::prepare_epoch() {
  if (!shuffle_) return;
  order_.resize(static_cast<size_t>(num_blocks_));
  std::iota(order_.begin(), order_.end(), 0);
  // The golden-ratio step keeps (seed, epoch) and (seed + 1, epoch - 1) apart.
  std::mt19937_64 engine(seed_ + 0x9e3779b97f4a7c15ULL * static_cast<uint64_t>(position_.epoch + 1));
  for (size_t left = order_.size(); left > 1; --left) std::swap(order_[left - 1], order_[draw_below(engine, left)]);
}

}  // namespace hici::data
