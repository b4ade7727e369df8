// SPDX-License-Identifier: Apache-2.0
// The order in which blocks of a data set are visited, with a position that a checkpoint can hold.
#pragma once

#include "hici/data/sample_order.h"

#include <cstdint>
#include <vector>

namespace hici::data {

// Endless: after the last block of an epoch comes the first of the next. With shuffling, every epoch is a permutation
// that depends on (seed, epoch) and on nothing else: the same on every platform.
class BlockSampler : public SampleOrder {
 public:
  BlockSampler(int64_t num_blocks, bool shuffle, uint64_t seed);

  int64_t next() override;
  SamplerPosition position() const override { return position_; }
  void seek(const SamplerPosition& position) override;
  int64_t num_blocks() const { return num_blocks_; }

 private:
  void prepare_epoch();

  int64_t num_blocks_;
  bool shuffle_;
  uint64_t seed_;
  SamplerPosition position_;
  std::vector<int64_t> order_;  // of the present epoch; empty without shuffling
};

}  // namespace hici::data
