// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/cached_forward.h"

#include "hici/base/error.h"
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

// Tokens at these positions (int64, on the model's device), with the kind of attention that the cache is for.
CachedInputs inputs_at(const CausalLm& model, const ops::RotaryFrequencies& frequencies, const KvCache& cache,
                       const at::Tensor& positions_T) {
  CachedInputs inputs;
  const auto type = model.embed_tokens().scalar_type();
  if (cache.dual_chunk) {
    inputs.kind = DualChunkInputs{ops::make_dual_chunk_tables(frequencies, cache.dual_chunk, positions_T, type)};
  } else {
    inputs.common.rotary = ops::make_rotary_tables(frequencies, positions_T, type);
  }
  return inputs;
}

// Tokens `start` .. `start + count - 1` of a prompt with prefix slots.
CachedInputs chunk_inputs(const CausalLm& model, const ops::RotaryFrequencies& frequencies, const KvCache& cache,
                          int64_t start, int64_t count, ops::AttentionBackend backend) {
  const auto on_device = at::TensorOptions().dtype(at::kLong).device(model.embed_tokens().device());
  CachedInputs inputs = inputs_at(model, frequencies, cache, at::arange(start, start + count, on_device));
  inputs.common.backend = backend;
  inputs.rows.first_row = cache.num_slots + start;
  return inputs;
}

// The last token's state before the last norm, [1, 1, C]; undefined when it was ended.
at::Tensor prefill_chunkwise(const CausalLm& model, const at::Tensor& tokens_1T, const KvCache& cache,
                             const PrefillOptions& options) {
  const ops::RotaryFrequencies frequencies = model.rotary_frequencies();
  at::Tensor x_1SC;
  const bool is_whole = for_each_chunk(tokens_1T.size(1), options, [&](int64_t start, int64_t count) {
    const CachedInputs inputs = chunk_inputs(model, frequencies, cache, start, count, options.backend);
    x_1SC = at::embedding(model.embed_tokens(), tokens_1T.narrow(1, start, count));
    for (size_t i = 0; i < cache.layers.size(); ++i)
      x_1SC = model.layers()[i].forward_cached(x_1SC, inputs, cache.layers[i]);
  });
  return is_whole ? x_1SC.narrow(1, x_1SC.size(1) - 1, 1) : at::Tensor();
}

// The same layer by layer: the slots of a layer are made of its whole input.
at::Tensor prefill_layerwise(const CausalLm& model, const at::Tensor& tokens_1T, const KvCache& cache,
                             const PrefillOptions& options) {
  const int64_t length = tokens_1T.size(1);
  const ops::RotaryFrequencies frequencies = model.rotary_frequencies();
  const at::Tensor x_1TC = at::embedding(model.embed_tokens(), tokens_1T);
  for (size_t i = 0; i < cache.layers.size(); ++i) {
    const DecoderLayer& layer = model.layers()[i];
    write_slots(layer.attention.projections, *layer.attention.hierarchy,
                ops::rms_norm(x_1TC, layer.input_norm, layer.norm_eps), cache.layers[i]);
    const bool is_whole = for_each_chunk(length, options, [&](int64_t start, int64_t count) {
      const CachedInputs inputs = chunk_inputs(model, frequencies, cache, start, count, options.backend);
      const at::Tensor chunk_1SC = x_1TC.narrow(1, start, count);
      chunk_1SC.copy_(layer.forward_cached(chunk_1SC, inputs, cache.layers[i]));
    });
    if (!is_whole) return {};
  }
  return x_1TC.narrow(1, length - 1, 1);
}

void check_prefill(const CausalLm& model, const at::Tensor& tokens_1T, const KvCache& cache,
                   const PrefillOptions& options) {
  using enum AttentionKind;
  const bool is_hici = options.attention == kHici, is_dca = options.attention == kDca;
  HICI_ASSERT(tokens_1T.size(0) == 1 && cache.batch() == 1 && cache.layers.size() == model.layers().size() &&
                  (is_hici || is_dca || options.attention == kFull) && options.chunk > 0 &&
                  is_dca == bool(cache.dual_chunk) && cache.num_slots == (is_hici ? num_prompt_slots(model) : 0) &&
                  cache.num_slots + tokens_1T.size(1) <= cache.capacity() && options.num_cached >= 0 &&
                  options.num_cached < tokens_1T.size(1) && (options.num_cached == 0 || !is_hici),
              "tokens ", tokens_1T.sizes(), ", a cache of ", cache.batch(), " x ", cache.capacity(), " with ",
              options.num_cached);
}

}  // namespace

at::Tensor prefill(const CausalLm& model, const at::Tensor& tokens_1T, const KvCache& cache,
                   const PrefillOptions& options) {
  const at::NoGradGuard no_grad;
  check_prefill(model, tokens_1T, cache, options);
  // Without slots the prompt is plain causal attention, which needs no second pass over it.
  const at::Tensor last_11C = cache.num_slots > 0 ? prefill_layerwise(model, tokens_1T, cache, options)
                                                  : prefill_chunkwise(model, tokens_1T, cache, options);
  return last_11C.defined() ? model.normed(last_11C).select(1, 0) : last_11C;
}

at::Tensor decode(const CausalLm& model, const at::Tensor& tokens_B, const at::Tensor& positions_B,
                  const KvCache& cache, const ops::RotaryFrequencies& frequencies) {
  const at::NoGradGuard no_grad;
  CachedInputs inputs = inputs_at(model, frequencies, cache, positions_B);
  inputs.rows.first_visible = cache.decode_uses_slots ? 0 : cache.num_slots;
  const at::Tensor rows_B = positions_B + cache.num_slots;
  inputs.rows.flat_rows_B = at::arange(cache.batch(), positions_B.options()) * cache.capacity() + rows_B;
  inputs.rows.lengths_B = rows_B + (1 - inputs.rows.first_visible);
  at::Tensor x_B1C = at::embedding(model.embed_tokens(), tokens_B.unsqueeze(1));
  for (size_t i = 0; i < cache.layers.size(); ++i)
    x_B1C = model.layers()[i].forward_cached(x_B1C, inputs, cache.layers[i]);
  return model.normed(x_B1C).select(1, 0);
}

int64_t num_prompt_slots(const CausalLm& model) {
  const auto& hierarchy = model.layers().front().attention.hierarchy;
  return hierarchy ? hierarchy->num_slots_of_first_segment() : 0;
}

}  // namespace hici::nn
