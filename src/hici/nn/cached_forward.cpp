// SPDX-License-Identifier: Apache-2.0
// The decoder over a key/value cache: prompts in, one token after the other.
#include "hici/base/error.h"
#include "hici/nn/causal_lm.h"
#include "hici/ops/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace hici::nn {
namespace {

// body(start, count) for each chunk of `length` tokens but those that are cached; false when it was ended.
template <typename Body>
bool for_each_chunk(int64_t length, const PrefillOptions& options, const Body& body) {
  for (int64_t start = options.num_cached; start < length; start += options.chunk) {
    if (options.before_chunk && !options.before_chunk()) return false;
    body(start, std::min(options.chunk, length - start));
  }
  return true;
}

}  // namespace

// Tokens `start` .. `start + count - 1` of a prompt with prefix slots.
AttentionContext CausalLm::chunk_context(const ops::RotaryFrequencies& frequencies, int64_t start, int64_t count,
                                         const KvCache& cache, ops::AttentionBackend backend) const {
  AttentionContext context;
  set_positions(context, frequencies, cache.dual_chunk,
                at::arange(start, start + count, at::TensorOptions().dtype(at::kLong).device(embed_tokens_.device())));
  context.backend = backend;
  context.cache_rows.first_row = cache.num_slots + start;
  return context;
}

int64_t CausalLm::num_prompt_slots() const {
  const auto& hierarchy = layers_.front().attention.hierarchy;
  return hierarchy ? hierarchy->num_slots_of_first_segment() : 0;
}

at::Tensor CausalLm::prefill(const at::Tensor& tokens_1T, const KvCache& cache, const PrefillOptions& options) const {
  const at::NoGradGuard no_grad;
  const bool is_hici = options.attention == AttentionKind::kHici;
  HICI_ASSERT(tokens_1T.size(0) == 1 && cache.batch() == 1 && cache.layers.size() == layers_.size() &&
                  options.attention != AttentionKind::kS2 && options.chunk > 0 &&
                  (options.attention == AttentionKind::kDca) == bool(cache.dual_chunk) &&
                  cache.num_slots == (is_hici ? num_prompt_slots() : 0) &&
                  cache.num_slots + tokens_1T.size(1) <= cache.capacity() && options.num_cached >= 0 &&
                  options.num_cached < tokens_1T.size(1) && (options.num_cached == 0 || !is_hici),
              "tokens ", tokens_1T.sizes(), ", a cache of ", cache.batch(), " x ", cache.capacity(), " with ",
              options.num_cached);
  // Without slots the prompt is plain causal attention, which needs no second pass over it.
  const at::Tensor last_11C = is_hici && cache.num_slots > 0 ? prefill_layerwise(tokens_1T, cache, options)
                                                             : prefill_chunkwise(tokens_1T, cache, options);
  if (!last_11C.defined()) return last_11C;
  return ops::rms_norm(last_11C, norm_, config_.rms_norm_eps).select(1, 0);
}

// The last token's state before the last norm, [1, 1, C]; undefined when it was ended.
at::Tensor CausalLm::prefill_chunkwise(const at::Tensor& tokens_1T, const KvCache& cache,
                                       const PrefillOptions& options) const {
  const int64_t length = tokens_1T.size(1);
  const ops::RotaryFrequencies frequencies = rotary_frequencies();
  at::Tensor x_1SC;
  const bool is_whole = for_each_chunk(length, options, [&](int64_t start, int64_t count) {
    const AttentionContext context = chunk_context(frequencies, start, count, cache, options.backend);
    x_1SC = at::embedding(embed_tokens_, tokens_1T.narrow(1, start, count));
    for (size_t i = 0; i < layers_.size(); ++i) x_1SC = layers_[i].forward(x_1SC, context, false, &cache.layers[i]);
  });
  return is_whole ? x_1SC.narrow(1, x_1SC.size(1) - 1, 1) : at::Tensor();
}

at::Tensor CausalLm::prefill_layerwise(const at::Tensor& tokens_1T, const KvCache& cache,
                                       const PrefillOptions& options) const {
  const int64_t length = tokens_1T.size(1);
  const ops::RotaryFrequencies frequencies = rotary_frequencies();
  const at::Tensor x_1TC = at::embedding(embed_tokens_, tokens_1T);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const DecoderLayer& layer = layers_[i];
    layer.attention.write_slots(ops::rms_norm(x_1TC, layer.input_norm, layer.norm_eps), cache.layers[i]);
    const bool is_whole = for_each_chunk(length, options, [&](int64_t start, int64_t count) {
      const AttentionContext context = chunk_context(frequencies, start, count, cache, options.backend);
      const at::Tensor chunk_1SC = x_1TC.narrow(1, start, count);
      chunk_1SC.copy_(layer.forward(chunk_1SC, context, false, &cache.layers[i]));
    });
    if (!is_whole) return {};
  }
  return x_1TC.narrow(1, length - 1, 1);
}

at::Tensor CausalLm::decode(const at::Tensor& tokens_B, const at::Tensor& positions_B, const KvCache& cache,
                            const ops::RotaryFrequencies& frequencies) const {
  const at::NoGradGuard no_grad;
  AttentionContext context;
  set_positions(context, frequencies, cache.dual_chunk, positions_B);
  context.cache_rows.first_visible = cache.decode_uses_slots ? 0 : cache.num_slots;
  const at::Tensor rows_B = positions_B + cache.num_slots;
  context.cache_rows.flat_rows_B = at::arange(cache.batch(), positions_B.options()) * cache.capacity() + rows_B;
  context.cache_rows.lengths_B = rows_B + (1 - context.cache_rows.first_visible);
  at::Tensor x_B1C = at::embedding(embed_tokens_, tokens_B.unsqueeze(1));
  for (size_t i = 0; i < layers_.size(); ++i) x_B1C = layers_[i].forward(x_B1C, context, false, &cache.layers[i]);
  return ops::rms_norm(x_B1C, norm_, config_.rms_norm_eps).select(1, 0);
}

}  // namespace hici::nn
