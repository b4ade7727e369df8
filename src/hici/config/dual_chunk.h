// SPDX-License-Identifier: Apache-2.0
// Sizes of Dual Chunk Attention (An et al., "Training-Free Long-Context Scaling of Large Language Models", 2024), which
// lets a model attend beyond the positions it was trained with. Reference: dual_chunk_attention() of the reference.
#pragma once

#include "hici/config/model_config.h"

#include <cstdint>

namespace hici::config {

// Parameters of attention. A key rotates by its position in its chunk. A query at position r of its chunk rotates by r
// for keys of its own chunk, by min(r + chunk_len, chunk_size) for keys of the chunk before, and by min(2 * chunk_len -
// 1, chunk_size) for all earlier keys.
struct DualChunk {
  int64_t chunk_len = 0;   // tokens of a chunk; 0: no Dual Chunk Attention
  int64_t chunk_size = 0;  // the largest position: no distance is larger
  double magnitude = 1;    // factor of cosine and sine

  explicit operator bool() const { return chunk_len > 0; }
  bool operator==(const DualChunk&) const = default;
};

// The options. chunk_size is 3/4 of the pretraining length; chunk_len is chunk_size minus the local window.
struct DualChunkRule {
  int64_t pretraining_length = 0;  // --pretraining_length; 0: the positions that the model covers
  int64_t local_window = 0;        // --dca_local_window; 0: 1/16 of the pretraining length
  // --dca_mscale: T of the magnitude 0.05 ln(T / max_position_embeddings) + 1, which is 1 for shorter T; 0: none.
  int64_t magnitude_length = 0;

  // Values that do not fit the model are usage errors that name the options.
  DualChunk resolve(const ModelConfig& config) const;
  // pretraining_length, or its default if it is 0.
  int64_t pretraining_length_of(const ModelConfig& config) const;
};

}  // namespace hici::config
