// SPDX-License-Identifier: Apache-2.0
#include "hici/data/batch_source.h"

#include "hici/data/block_sampler.h"

namespace hici::data {

std::unique_ptr<SampleOrder> BatchSource::order(bool shuffle, uint64_t seed) const {
  return std::make_unique<BlockSampler>(num_samples(), shuffle, seed);
}

}  // namespace hici::data
