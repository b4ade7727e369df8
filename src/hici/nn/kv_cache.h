// SPDX-License-Identifier: Apache-2.0
// KV cache: keys and values of the tokens so far. Its size is fixed: a recorded decode step (device/device_graph.h)
// reads and writes the same memory each time. B sequences, X rows for each of them, J kv heads, D head dim
#pragma once

#include "hici/config/dual_chunk.h"
#include "hici/config/model_config.h"
#include "hici/nn/module.h"

#include <vector>

namespace hici::nn {

struct LayerCache {
  at::Tensor k_BXJD, v_BXJD;
};

// The cache rows that one forward writes and attends to, in every layer.
struct CacheRows {
  // Prefill of one sequence: its S tokens are rows first_row .. first_row + S - 1; each attends to the rows up to its
  // own.
  int64_t first_row = 0;
  // Decode, one token per sequence: sequence b writes row flat_rows_B[b] of the B * X rows and attends to
  // `lengths_B[b]` rows starting at `first_visible`; the last one is the token just written. int64 on the device.
  at::Tensor flat_rows_B = {}, lengths_B = {};
  int64_t first_visible = 0;

  bool decodes() const { return flat_rows_B.defined(); }
};

// Writes keys and values [B or 1, S, J, D] to `rows`.
void write_rows(const LayerCache& cache, const CacheRows& rows, const at::Tensor& k_BSJD, const at::Tensor& v_BSJD);

// Rows: num_slots slots, then the tokens; token t of a sequence is row num_slots + t.
struct KvCache {
  std::vector<LayerCache> layers;
  int64_t num_slots = 0;
  bool decode_uses_slots = true;  // else only the prompt attends to them
  // Dual Chunk Attention: keys are rotated by their position in their chunk, and there are no slots.
  config::DualChunk dual_chunk = {};

  int64_t batch() const { return layers.front().k_BXJD.size(0); }
  int64_t capacity() const { return layers.front().k_BXJD.size(1); }  // X
  // The cache of sequence b alone, a view.
  KvCache sequence(int64_t b) const;
  // The first `rows` rows of one sequence to another.
  void copy_rows(int64_t from, int64_t to, int64_t rows) const;
};

// `options` are those of the model's parameters.
KvCache make_kv_cache(const config::ModelConfig& config, int64_t batch, int64_t capacity,
                      const at::TensorOptions& options);

// What one row takes in all layers, keys and values.
int64_t kv_row_bytes(const config::ModelConfig& config, at::ScalarType type);

}  // namespace hici::nn
