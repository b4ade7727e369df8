// SPDX-License-Identifier: Apache-2.0
// The way into attention and out of it, which all kinds share: q, k and v of tokens and of slots, QK-norm and rotation,
// the output projection. Reference: project_qkv() of the reference.
// B batch, T tokens, S tokens per segment, P prefix slots, C hidden, H heads, J kv heads, D head dim
#pragma once

#include "hici/config/model_config.h"
#include "hici/device/profile.h"
#include "hici/nn/attention/common_inputs.h"
#include "hici/nn/linear.h"
#include "hici/nn/slot_provider.h"
#include "hici/ops/attention_heads.h"

#include <string>

namespace hici::nn {

struct AttentionProjections {
  Linear q_proj, k_proj, v_proj, o_proj;
  at::Tensor q_norm, k_norm;  // [D], Qwen3 only
  double norm_eps = 0;
  int64_t head_dim = 0;

  AttentionProjections() = default;
  AttentionProjections(const config::ModelConfig& config, const ParameterOptions& options);

  // q, k and v of tokens without slots before them.
  TensorList project_tokens(const at::Tensor& x_BTC) const;
  // The same where each segment has a prefix of `num_slots`: v leaves room for it where `backend` reads it
  // concatenated.
  TensorList project_tokens(const at::Tensor& x_BTC, int64_t num_slots, int64_t segment_length,
                            ops::AttentionBackend backend) const;
  // k and v of slots, [G, P, J * D], through the layer's own projections, adapters included; empty without any.
  TensorList project_slots(const PrefixSlots& prefix) const;

  // What project_tokens() gave, head by head, with the norms of q and k.
  ops::QkvProjections split_heads(const TensorList& tokens) const;
  // QK-norm, rotation, and the prefix as the backend reads it. Slots get neither.
  ops::AttentionHeads prepare_qkv(const TensorList& tokens, const TensorList& slots, const CommonInputs& common,
                                  int64_t segment_length) const;

  // `attended` holds the heads of the tokens of x_BTC in any shape of the order batch, token, head, head dim -> [B, T,
  // C]; rows of padded tokens are zero before the projection.
  at::Tensor project_output(const at::Tensor& attended, const at::Tensor& valid_BT, const at::Tensor& x_BTC) const;

  NamedLinears linears();
  void visit_parameters(const std::string& prefix, const ParameterVisitor& visit);
};

// body(heads), marked as attention while a profile is taken.
template <typename Body>
at::Tensor as_attention(const ops::AttentionHeads& heads, const Body& body) {
  auto marked = [&](const auto&... tensors) { return body(ops::AttentionHeads{tensors...}); };
  const auto& [q, k, v, slot_k, slot_v] = heads;
  return slot_k.defined() ? device::profiled(device::Part::kAttention, marked, q, k, v, slot_k, slot_v)
                          : device::profiled(device::Part::kAttention, marked, q, k, v);
}

}  // namespace hici::nn
