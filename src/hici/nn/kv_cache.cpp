// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/kv_cache.h"

#include "hici/ops/cached_attention.h"

#include <ATen/ATen.h>

namespace hici::nn {

void write_rows(const LayerCache& cache, const CacheRows& rows, const at::Tensor& k_BSJD, const at::Tensor& v_BSJD) {
  if (rows.decodes()) {  // the B tokens as one sequence
    ops::write_cache_rows(cache.k_BXJD, cache.v_BXJD, rows.flat_rows_B, k_BSJD[0], v_BSJD[0]);
    return;
  }
  cache.k_BXJD.narrow(1, rows.first_row, k_BSJD.size(1)).copy_(k_BSJD);
  cache.v_BXJD.narrow(1, rows.first_row, v_BSJD.size(1)).copy_(v_BSJD);
}

KvCache KvCache::sequence(int64_t b) const {
  KvCache one{{}, num_slots, decode_uses_slots, dual_chunk};
  for (const LayerCache& layer : layers)
    one.layers.push_back({layer.k_BXJD.narrow(0, b, 1), layer.v_BXJD.narrow(0, b, 1)});
  return one;
}

void KvCache::copy_rows(int64_t from, int64_t to, int64_t rows) const {
  const auto rows_of = [rows](const at::Tensor& t_BXJD, int64_t b) { return t_BXJD.select(0, b).narrow(0, 0, rows); };
  for (const LayerCache& layer : layers) {
    rows_of(layer.k_BXJD, to).copy_(rows_of(layer.k_BXJD, from));
    rows_of(layer.v_BXJD, to).copy_(rows_of(layer.v_BXJD, from));
  }
}

KvCache make_kv_cache(const config::ModelConfig& config, int64_t batch, int64_t capacity,
                      const at::TensorOptions& options) {
  // Where a GPU's kernel does not take the model, rows that are masked are multiplied by zero, and must be numbers.
  const auto take = [&](const std::vector<int64_t>& shape) {
    return options.device().is_cpu() ? at::empty(shape, options) : at::zeros(shape, options);
  };
  KvCache cache;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::vector<int64_t> shape{batch, capacity, config.num_key_value_heads, config.head_dim};
    cache.layers.push_back({take(shape), take(shape)});
  }
  return cache;
}

int64_t kv_row_bytes(const config::ModelConfig& config, at::ScalarType type) {
  return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim *
         static_cast<int64_t>(c10::elementSize(type));
}

}  // namespace hici::nn
