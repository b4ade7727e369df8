// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/causal_lm.h"

#include "hici/base/error.h"
#include "hici/config/rope.h"
#include "hici/device/side_stream.h"
#include "hici/nn/recompute.h"
#include "hici/ops/fp8.h"
#include "hici/ops/rms_norm.h"
#include "hici/ops/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace hici::nn {

Mlp::Mlp(const config::ModelConfig& config, const ParameterOptions& options)
    : gate_proj(config.intermediate_size, config.hidden_size, options),
      up_proj(config.intermediate_size, config.hidden_size, options),
      down_proj(config.hidden_size, config.intermediate_size, options) {}

at::Tensor Mlp::forward(const at::Tensor& x) const {
  const std::vector<at::Tensor> gate_and_up = Linear::forward_jointly(x, {&gate_proj, &up_proj});
  return down_proj.forward(ops::swiglu(gate_and_up[0], gate_and_up[1]));
}

void Mlp::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  gate_proj.visit_parameters(prefix + ".gate_proj", visit);
  up_proj.visit_parameters(prefix + ".up_proj", visit);
  down_proj.visit_parameters(prefix + ".down_proj", visit);
}

void Mlp::add_lora(const std::vector<std::string>& targets, int64_t rank, double scale) {
  for (const std::string& target : targets) {
    if (target == "gate_proj") gate_proj.add_lora(rank, scale);
    if (target == "up_proj") up_proj.add_lora(rank, scale);
    if (target == "down_proj") down_proj.add_lora(rank, scale);
  }
}

DecoderLayer::DecoderLayer(const config::ModelConfig& config, const ParameterOptions& options)
    : input_norm(meta_parameter({config.hidden_size}, options)),
      post_attention_norm(meta_parameter({config.hidden_size}, options)),
      norm_eps(config.rms_norm_eps),
      attention(config, options),
      mlp(config, options) {}

at::Tensor DecoderLayer::forward(const at::Tensor& x_BTC, const AttentionContext& context, bool recomputes_mlp,
                                 const LayerCache* cache) const {
  const ops::NormedSum before = ops::add_rms_norm(x_BTC, {}, input_norm, norm_eps);
  return add_mlp(before.sum, attention.forward(before.normed, context, cache, before.normed_for_slots), recomputes_mlp);
}

SegmentOutput DecoderLayer::forward_segment(const at::Tensor& x_BSC, const AttentionContext& context,
                                            const LayerState& before, bool recomputes_mlp) const {
  const ops::NormedSum normed = ops::add_rms_norm(x_BSC, {}, input_norm, norm_eps);
  SegmentOutput out = attention.forward_segment(normed.normed, context, before);
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
  return recompute([block](const TensorList& in) { return TensorList{block(in[0], {})}; }, {x_BTC + attended_BTC})[0];
}

void DecoderLayer::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  visit(prefix + ".input_layernorm.weight", input_norm);
  attention.visit_parameters(prefix + ".self_attn", visit);
  visit(prefix + ".post_attention_layernorm.weight", post_attention_norm);
  mlp.visit_parameters(prefix + ".mlp", visit);
}

namespace {

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

at::Tensor CausalLm::forward_hidden(const at::Tensor& tokens_BT, const ForwardOptions& options) const {
  AttentionContext context = make_context(tokens_BT, options);
  at::Tensor x = at::embedding(embed_tokens_, tokens_BT);
  ActivationOffloader offload;
  for (size_t i = 0; i < layers_.size(); ++i) {
    context.layer = static_cast<int64_t>(i);
    auto run = [&layer = layers_[i], context](const TensorList& in, bool recomputes_mlp) {
      return TensorList{layer.forward(in[0], context, recomputes_mlp)};
    };
    x = run_layer(run, {x}, policy_of_layer(options.policies, i), offload)[0];
  }
  return ops::rms_norm(x, norm_, config_.rms_norm_eps);
}

AttentionContext CausalLm::make_context(const at::Tensor& tokens_BT, const ForwardOptions& options) const {
  const int64_t length = tokens_BT.size(1);
  device::SideStream::fence(embed_tokens_.device());
  HICI_ASSERT((options.attention == AttentionKind::kDca) == bool(options.dual_chunk), "sizes of Dual Chunk Attention");
  AttentionContext context{.kind = options.attention,
                           .segment_length = options.segment_length,
                           .valid_BT = options.valid_BT,
                           .rotary = {},
                           .backend = options.backend,
                           .segment = 0,
                           .sequences = options.sequences,
                           .observer = options.observer,
                           .share = options.share};
  const int64_t first = options.share.is_whole() ? 0 : options.share.group->rank() * length;
  set_positions(context, rotary_frequencies(), options.dual_chunk,
                at::arange(first, first + length, tokens_BT.options()));
  return context;
}

void CausalLm::set_positions(AttentionContext& context, const ops::RotaryFrequencies& frequencies,
                             const config::DualChunk& dual_chunk, const at::Tensor& positions_T) const {
  const auto type = embed_tokens_.scalar_type();
  if (!dual_chunk) {
    context.rotary = ops::make_rotary_tables(frequencies, positions_T, type);
    return;
  }
  context.kind = AttentionKind::kDca;
  context.dual_chunk = ops::make_dual_chunk_tables(frequencies, dual_chunk, positions_T, type);
}

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
  const AttentionContext context{.kind = AttentionKind::kHici,
                                 .segment_length = length,
                                 .valid_BT = segment.valid_BS,
                                 .rotary = ops::make_rotary_tables(segment.frequencies, segment.index * length, length,
                                                                   embed_tokens_.scalar_type()),
                                 .backend = segment.backend,
                                 .segment = segment.index,
                                 .sequences = {}};
  SegmentHidden out{at::embedding(embed_tokens_, segment.tokens_BS), {}};
  ActivationOffloader offload;
  for (size_t i = 0; i < layers_.size(); ++i) {
    // The layer's input first, then the tensors of the state; out the same.
    auto run = [&layer = layers_[i], context](const TensorList& in, bool recomputes_mlp) {
      SegmentOutput made = layer.forward_segment(in[0], context, LayerState(in.begin() + 1, in.end()), recomputes_mlp);
      made.after.insert(made.after.begin(), made.hidden_BSC);
      return made.after;
    };
    TensorList inputs = before[i];
    inputs.insert(inputs.begin(), out.hidden_BSC);
    TensorList outputs = run_layer(run, inputs, policy_of_layer(policies, i), offload);
    out.hidden_BSC = outputs[0];
    out.after.emplace_back(outputs.begin() + 1, outputs.end());
  }
  out.hidden_BSC = ops::rms_norm(out.hidden_BSC, norm_, config_.rms_norm_eps);
  return out;
}

void CausalLm::check_attention_backend(ops::AttentionBackend backend, std::string_view subject) const {
  const std::string reason =
      ops::why_not(backend, {embed_tokens_.device(), embed_tokens_.scalar_type(), config_.head_dim});
  HICI_CHECK_USAGE(reason.empty(), subject, ": ", reason);
}

void CausalLm::visit_parameters(const ParameterVisitor& visit) {
  visit("model.embed_tokens.weight", embed_tokens_);
  for (size_t i = 0; i < layers_.size(); ++i) layers_[i].visit_parameters("model.layers." + std::to_string(i), visit);
  visit("model.norm.weight", norm_);
  if (lm_head_.defined()) visit("lm_head.weight", lm_head_);
}

const std::string& CausalLm::file_of(const std::string& parameter) const {
  static const std::string kNothing;
  const auto found = files_.find(parameter);
  return found == files_.end() ? kNothing : found->second;
}

void CausalLm::quantise_frozen(std::string_view subject) {
  const at::NoGradGuard no_grad;
  const std::string reason =
      ops::why_not_fp8(embed_tokens_.device(), embed_tokens_.scalar_type(),
                       {config_.hidden_size, config_.intermediate_size, config_.num_attention_heads * config_.head_dim,
                        config_.num_key_value_heads * config_.head_dim});
  HICI_CHECK_USAGE(reason.empty(), subject, ": ", reason, "; leave it out");
  for (DecoderLayer& layer : layers_) {
    Attention& a = layer.attention;
    Mlp& m = layer.mlp;
    for (Linear* linear : {&a.q_proj, &a.k_proj, &a.v_proj, &a.o_proj, &m.gate_proj, &m.up_proj, &m.down_proj})
      if (!linear->weight.requires_grad()) linear->quantise();
  }
}

void CausalLm::add_lora(const std::vector<std::string>& targets, int64_t rank, double scale) {
  static const std::vector<std::string> known{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                              "gate_proj", "up_proj", "down_proj"};
  for (const std::string& target : targets) {
    HICI_CHECK_USAGE(std::find(known.begin(), known.end(), target) != known.end(), "LoRA target '", target,
                     "' matches no linear layer; known: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
  }
  for (DecoderLayer& layer : layers_) {
    layer.attention.add_lora(targets, rank, scale);
    layer.mlp.add_lora(targets, rank, scale);
  }
}

}  // namespace hici::nn
