// SPDX-License-Identifier: Apache-2.0
// Full attention of new tokens over a KV cache: prefill and decode, without gradients or padding. Slots before a prompt
// are rows of the cache. Reference: prefill_cache(), decode_attention() of the reference.
#pragma once

#include "hici/nn/attention/projections.h"
#include "hici/nn/kv_cache.h"

namespace hici::nn {

// Writes keys and values of the tokens to `rows` of the cache and attends to the visible rows up to them.
at::Tensor attend_cached(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common,
                         const CacheRows& rows, const LayerCache& cache);

}  // namespace hici::nn
