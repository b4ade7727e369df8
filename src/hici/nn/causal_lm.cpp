// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/causal_lm.h"

#include "hici/base/error.h"
#include "hici/config/parameter_names.h"
#include "hici/config/rope.h"
#include "hici/device/profile.h"
#include "hici/device/side_stream.h"
#include "hici/nn/recompute.h"
#include "hici/ops/fp8.h"
#include "hici/ops/fp8_mlp.h"
#include "hici/ops/nf4.h"
#include "hici/ops/rms_norm.h"
#include "hici/ops/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <variant>

namespace hici::nn {

Mlp::Mlp(const config::ModelConfig& config, const ParameterOptions& options)
    : gate_proj(config.intermediate_size, config.hidden_size, options),
      up_proj(config.intermediate_size, config.hidden_size, options),
      down_proj(config.hidden_size, config.intermediate_size, options) {}

at::Tensor Mlp::forward(const at::Tensor& x) const {
  if (gate_proj.is_quantised()) {
    const ops::MlpWeights weights{gate_proj.weights(), up_proj.weights(), down_proj.weights()};
    if (ops::fp8_mlp_supports(x, weights)) {
      return device::profiled(
          device::Part::kLinear, [&](const at::Tensor& in) { return TensorList{ops::fp8_mlp(in, weights)}; }, x)[0];
    }
  }
  const std::vector<at::Tensor> gate_and_up = Linear::forward_jointly(x, {&gate_proj, &up_proj});
  return down_proj.forward(ops::swiglu(gate_and_up[0], gate_and_up[1]));
}

NamedLinears Mlp::linears() { return {{"gate_proj", &gate_proj}, {"up_proj", &up_proj}, {"down_proj", &down_proj}}; }

DecoderLayer::DecoderLayer(const config::ModelConfig& config, const ParameterOptions& options)
    : input_norm(meta_parameter({config.hidden_size}, options)),
      post_attention_norm(meta_parameter({config.hidden_size}, options)),
      norm_eps(config.rms_norm_eps),
      attention(config, options),
      mlp(config, options) {}

at::Tensor DecoderLayer::forward(const at::Tensor& x_BTC, const AttentionInputs& inputs, bool recomputes_mlp) const {
  const ops::NormedSum before = ops::add_rms_norm(x_BTC, {}, input_norm, norm_eps);
  return add_mlp(before.sum, attention.forward(before.normed, inputs, before.normed_for_slots), recomputes_mlp);
}

at::Tensor DecoderLayer::forward_cached(const at::Tensor& x_BTC, const CachedInputs& inputs,
                                        const LayerCache& cache) const {
  const ops::NormedSum before = ops::add_rms_norm(x_BTC, {}, input_norm, norm_eps);
  return add_mlp(before.sum, attention.forward_cached(before.normed, inputs, cache), /*recomputes=*/false);
}

SegmentOutput DecoderLayer::forward_segment(const at::Tensor& x_BSC, const StreamedInputs& inputs,
                                            const LayerState& before, bool recomputes_mlp) const {
  const ops::NormedSum normed = ops::add_rms_norm(x_BSC, {}, input_norm, norm_eps);
  SegmentOutput out = attention.forward_segment(normed.normed, inputs, before);
  out.hidden_BSC = add_mlp(normed.sum, out.hidden_BSC, recomputes_mlp);
  return out;
}

at::Tensor DecoderLayer::add_mlp(const at::Tensor& x_BTC, const at::Tensor& attended_BTC, bool recomputes) const {
  auto block = [this](const at::Tensor& x, const at::Tensor& delta) {
    const ops::NormedSum middle = ops::add_rms_norm(x, delta, post_attention_norm, norm_eps);
    return middle.sum + mlp.forward(middle.normed);
  };
  if (!recomputes) return block(x_BTC, attended_BTC);
  // The sum is made outside, so that one tensor is kept and not its two summands.
  auto again = [block, dropout = DropoutScope::current()](const TensorList& in) {
    const DropoutScope scope(dropout);
    return TensorList{block(in[0], {})};
  };
  return recompute(again, {x_BTC + attended_BTC})[0];
}

void DecoderLayer::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  visit(prefix + ".input_layernorm.weight", input_norm);
  attention.visit_parameters(prefix + ".self_attn", visit);
  visit(prefix + ".post_attention_layernorm.weight", post_attention_norm);
  visit_linears(mlp.linears(), prefix + ".mlp", visit);
}

NamedLinears DecoderLayer::linears() {
  NamedLinears all = attention.projections.linears();
  const NamedLinears of_mlp = mlp.linears();
  all.insert(all.end(), of_mlp.begin(), of_mlp.end());
  return all;
}

void DecoderLayer::quantise_frozen(config::BaseFormat format, bool has_backward) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, linear] : linears())
    if (!linear->weight.requires_grad() && !linear->is_quantised()) linear->quantise(format, has_backward);
}

namespace {

// Position of the first of `length` tokens that this process has of a sequence.
int64_t first_token(const parallel::SegmentShare& share, int64_t length) {
  return share.is_whole() ? 0 : share.group->rank() * length;
}

Dropout dropout_of_tokens(Dropout dropout, int64_t first, int64_t count) {
  dropout.first = first;
  dropout.units = count;
  return dropout;
}

// layer(inputs, recomputes_mlp) with what the policy says is kept.
template <typename Layer>
TensorList run_layer(const Layer& layer, const TensorList& inputs, ActivationPolicy policy,
                     ActivationOffloader& offload) {
  if (policy == ActivationPolicy::kKeep || policy == ActivationPolicy::kRecomputeMlp) {
    return layer(inputs, policy == ActivationPolicy::kRecomputeMlp);
  }
  return recompute([layer](const TensorList& in) { return layer(in, false); }, inputs,
                   policy == ActivationPolicy::kOffload ? &offload : nullptr);
}

}  // namespace

CausalLm::CausalLm(const config::ModelConfig& config, const ParameterOptions& options)
    : config_(config),
      embed_tokens_(meta_parameter({config.vocab_size, config.hidden_size}, options)),
      norm_(meta_parameter({config.hidden_size}, options)) {
  if (!config.tie_word_embeddings) lm_head_ = meta_parameter({config.vocab_size, config.hidden_size}, options);
  layers_.reserve(static_cast<size_t>(config.num_hidden_layers));
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) layers_.emplace_back(config, options);
}

template <typename Body>
TensorList CausalLm::with_weights(size_t layer, const Body& body) const {
  if (!frozen_) return body();
  use_weights(layer);
  return frozen_->use_in_backward(static_cast<int64_t>(layer), body());
}

at::Tensor CausalLm::forward_hidden(const at::Tensor& tokens_BT, const ForwardOptions& options) const {
  AttentionInputs inputs = make_inputs(tokens_BT, options);
  const int64_t length = tokens_BT.size(1);
  const Dropout dropout = dropout_of_tokens(options.dropout, first_token(options.share, length), length);
  at::Tensor x = at::embedding(embed_tokens_, tokens_BT);
  ActivationOffloader offload;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (auto* hici = std::get_if<HierarchicalInputs>(&inputs.kind)) hici->layer = static_cast<int64_t>(i);
    auto run = [this, i, inputs, dropout](const TensorList& in, bool recomputes_mlp) {
      const DropoutScope scope(dropout);
      return with_weights(i, [&] { return TensorList{layers_[i].forward(in[0], inputs, recomputes_mlp)}; });
    };
    x = run_layer(run, {x}, policy_of_layer(options.policies, i), offload)[0];
  }
  return normed(x);
}

AttentionInputs CausalLm::make_inputs(const at::Tensor& tokens_BT, const ForwardOptions& options) const {
  device::SideStream::fence(embed_tokens_.device());
  HICI_ASSERT((options.attention == AttentionKind::kDca) == bool(options.dual_chunk), "sizes of Dual Chunk Attention");
  AttentionInputs inputs{{options.valid_BT, {}, options.backend}, {}, options.sequences};
  const ops::RotaryFrequencies frequencies = rotary_frequencies();
  const int64_t length = tokens_BT.size(1), first = first_token(options.share, length);
  const at::Tensor positions_T = at::arange(first, first + length, tokens_BT.options());
  const auto type = embed_tokens_.scalar_type();
  if (options.attention == AttentionKind::kDca) {
    inputs.kind = DualChunkInputs{ops::make_dual_chunk_tables(frequencies, options.dual_chunk, positions_T, type)};
    return inputs;
  }
  inputs.common.rotary = ops::make_rotary_tables(frequencies, positions_T, type);
  const SegmentInputs segments{options.segment_length};
  if (options.attention == AttentionKind::kSegments) inputs.kind = segments;
  if (options.attention == AttentionKind::kS2) inputs.kind = ShiftedInputs{segments};
  if (options.attention == AttentionKind::kHici)
    inputs.kind = HierarchicalInputs{segments, options.observer, 0, options.share};
  return inputs;
}

at::Tensor CausalLm::normed(const at::Tensor& x) const { return ops::rms_norm(x, norm_, config_.rms_norm_eps); }

ops::RotaryFrequencies CausalLm::rotary_frequencies() const {
  return ops::make_rotary_frequencies(config::rope_inverse_frequencies(config_.rope, config_.head_dim),
                                      config::rope_attention_scale(config_.rope), embed_tokens_.device());
}

ModelState CausalLm::empty_state(int64_t batch) const {
  ModelState state;
  for (const DecoderLayer& layer : layers_) {
    const auto& hierarchy = layer.attention.hierarchy;
    state.push_back(hierarchy ? hierarchy->empty_state(batch) : LayerState{});
  }
  return state;
}

SegmentHidden CausalLm::forward_segment(const Segment& segment, const ModelState& before,
                                        const ActivationPolicies& policies) const {
  HICI_ASSERT(before.size() == layers_.size(), before.size(), " states for ", layers_.size(), " layers");
  const int64_t length = segment.tokens_BS.size(1);
  device::SideStream::fence(embed_tokens_.device());
  const StreamedInputs inputs{
      {segment.valid_BS,
       ops::make_rotary_tables(segment.frequencies, segment.index * length, length, embed_tokens_.scalar_type()),
       segment.backend},
      segment.index,
      segment.share};
  const Dropout dropout = dropout_of_tokens(segment.dropout, segment.index * length, length);
  SegmentHidden out{at::embedding(embed_tokens_, segment.tokens_BS), {}};
  ActivationOffloader offload;
  for (size_t i = 0; i < layers_.size(); ++i) {
    // The layer's input first, then the tensors of the state; out the same.
    auto run = [this, i, inputs, dropout](const TensorList& in, bool recomputes_mlp) {
      const DropoutScope scope(dropout);
      return with_weights(i, [&] {
        const LayerState state(in.begin() + 1, in.end());
        SegmentOutput made = layers_[i].forward_segment(in[0], inputs, state, recomputes_mlp);
        made.after.insert(made.after.begin(), made.hidden_BSC);
        return made.after;
      });
    };
    TensorList input_and_state = before[i];
    input_and_state.insert(input_and_state.begin(), out.hidden_BSC);
    TensorList outputs = run_layer(run, input_and_state, policy_of_layer(policies, i), offload);
    out.hidden_BSC = outputs[0];
    out.after.emplace_back(outputs.begin() + 1, outputs.end());
  }
  out.hidden_BSC = normed(out.hidden_BSC);
  return out;
}

void CausalLm::check_attention_backend(ops::AttentionBackend backend, std::string_view subject, int64_t slots) const {
  const std::string reason =
      ops::why_not(backend, {embed_tokens_.device(), embed_tokens_.scalar_type(), config_.head_dim, slots});
  HICI_CHECK_USAGE(reason.empty(), subject, ": ", reason);
}

void CausalLm::visit_parameters(const ParameterVisitor& visit, const LayerEvents& events) {
  visit(config::kEmbeddingName, embed_tokens_);
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (events.before) events.before(i);
    visit_layer(i, visit);
    if (events.after) events.after(i);
  }
  visit("model.norm.weight", norm_);
  if (lm_head_.defined()) visit(config::kHeadName, lm_head_);
}

int64_t CausalLm::num_parameters() {
  int64_t all = 0;
  visit_parameters([&](const std::string&, at::Tensor& t) { all += t.numel(); });
  for (DecoderLayer& layer : layers_)
    for (const auto& [name, linear] : layer.linears()) all += linear->num_weights() - linear->weight.numel();
  return all;
}

void CausalLm::visit_layer(size_t layer, const ParameterVisitor& visit) {
  layers_[layer].visit_parameters("model.layers." + std::to_string(layer), visit);
}

const std::string& CausalLm::file_of(const std::string& parameter) const {
  static const std::string kNothing;
  const auto found = files_.find(parameter);
  return found == files_.end() ? kNothing : found->second;
}

void CausalLm::check_base_format(config::BaseFormat format) const {
  const int64_t hidden = config_.hidden_size, mlp = config_.intermediate_size;
  const int64_t queries = config_.num_attention_heads * config_.head_dim;
  const int64_t keys = config_.num_key_value_heads * config_.head_dim;
  std::string reason;
  if (format == config::BaseFormat::kFp8) {
    reason = ops::why_not_fp8(embed_tokens_.device(), embed_tokens_.scalar_type(), {hidden, mlp, queries, keys});
  } else if (config::is_nf4(format)) {
    reason = ops::why_not_nf4({{queries, hidden}, {keys, hidden}, {hidden, queries}, {mlp, hidden}, {hidden, mlp}});
  }
  HICI_CHECK_USAGE(reason.empty(), "`base_format` ", name_of(format), ": ", reason, "; leave it out");
}

void CausalLm::quantise_frozen(config::BaseFormat format, bool has_backward) {
  for (size_t i = 0; i < layers_.size(); ++i) quantise_layer(i, format, has_backward);
}

void CausalLm::quantise_layer(size_t layer, config::BaseFormat format, bool has_backward) {
  if (layer == 0) check_base_format(format);
  layers_[layer].quantise_frozen(format, has_backward);
}

void CausalLm::add_lora(const config::LoraConfig& lora) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i);
    layers_[i].attention.add_lora(prefix + ".self_attn", lora);
    adapt_linears(layers_[i].mlp.linears(), prefix + ".mlp", lora);
  }
}

}  // namespace hici::nn
