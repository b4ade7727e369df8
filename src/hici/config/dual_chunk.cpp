// SPDX-License-Identifier: Apache-2.0
#include "hici/config/dual_chunk.h"

#include "hici/base/error.h"
#include "hici/config/rope.h"

#include <algorithm>
#include <cmath>

namespace hici::config {
namespace {

double magnitude_for(const ModelConfig& config, int64_t length) {
  if (length == 0) return 1;
  HICI_CHECK_USAGE(config.family == Family::kLlama, "`dca_mscale`: is for Llama, the model is ", name_of(config.family),
                   "; leave it out");
  const double ratio = static_cast<double>(length) / static_cast<double>(config.max_position_embeddings);
  return 0.05 * std::log(std::max(ratio, 1.0)) + 1;
}

}  // namespace

int64_t DualChunkRule::pretraining_length_of(const ModelConfig& config) const {
  return pretraining_length > 0 ? pretraining_length : rope_context(config);
}

DualChunk DualChunkRule::resolve(const ModelConfig& config) const {
  constexpr int64_t kShortest = 16, kLongest = int64_t{1} << 40;
  const int64_t length = pretraining_length_of(config);
  HICI_CHECK_USAGE(length >= kShortest && length <= kLongest, "`pretraining_length`: ", length,
                   " is out of range; use ", kShortest, " to ", kLongest);
  const int64_t size = 3 * length / 4, window = local_window > 0 ? local_window : length / 16;
  HICI_CHECK_USAGE(local_window >= 0 && window < size, "`dca_local_window`: ", local_window, " leaves no chunk of the ",
                   size, " tokens that are 3/4 of the pretraining length ", length, "; use 1 to ", size - 1);
  return {size - window, size, magnitude_for(config, magnitude_length)};
}

}  // namespace hici::config
