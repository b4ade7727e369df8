// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/projections.h"

#include "hici/nn/dropout.h"

#include <ATen/ATen.h>

namespace hici::nn {
namespace {

bool concatenates_prefix(int64_t num_slots, ops::AttentionBackend backend, at::Device device) {
  return num_slots > 0 && !ops::has_separate_prefix(backend, device);
}

}  // namespace

AttentionProjections::AttentionProjections(const config::ModelConfig& config, const ParameterOptions& options)
    : q_proj(config.num_attention_heads * config.head_dim, config.hidden_size, options),
      k_proj(config.num_key_value_heads * config.head_dim, config.hidden_size, options),
      v_proj(config.num_key_value_heads * config.head_dim, config.hidden_size, options),
      o_proj(config.hidden_size, config.num_attention_heads * config.head_dim, options),
      norm_eps(config.rms_norm_eps),
      head_dim(config.head_dim) {
  if (!config.qk_norm()) return;
  q_norm = meta_parameter({head_dim}, options);
  k_norm = meta_parameter({head_dim}, options);
}

TensorList AttentionProjections::project_tokens(const at::Tensor& x_BTC) const {
  return Linear::forward_jointly(x_BTC, {&q_proj, &k_proj, &v_proj});
}

TensorList AttentionProjections::project_tokens(const at::Tensor& x_BTC, int64_t num_slots, int64_t segment_length,
                                                ops::AttentionBackend backend) const {
  ops::LinearLayout layout{.reserves_sms = num_slots > 0};
  if (concatenates_prefix(num_slots, backend, x_BTC.device())) {
    layout.segment_length = segment_length;
    layout.rows_before = {0, num_slots, 0};
  }
  // The small ones first, where heads share keys: the kernels of the slots, which run beside them, get room the sooner.
  const TensorList kvq = Linear::forward_jointly(x_BTC, {&k_proj, &v_proj, &q_proj}, layout);
  return {kvq[2], kvq[0], kvq[1]};
}

TensorList AttentionProjections::project_slots(const PrefixSlots& prefix) const {
  if (!prefix.any()) return {};
  const DropoutScope scope(DropoutScope::for_slots());
  return device::profiled(
      device::Part::kHici,
      [&](const at::Tensor& slots_GPC) { return Linear::forward_jointly(slots_GPC, {&k_proj, &v_proj}); },
      prefix.slots_BNPC.flatten(0, 1));
}

ops::QkvProjections AttentionProjections::split_heads(const TensorList& tokens) const {
  auto split = [&](const at::Tensor& t) { return t.view({t.size(0), t.size(1), -1, head_dim}); };
  return {split(tokens[0]), split(tokens[1]), split(tokens[2]), {}, {}, q_norm, k_norm, norm_eps};
}

ops::AttentionHeads AttentionProjections::prepare_qkv(const TensorList& tokens, const TensorList& slots,
                                                      const CommonInputs& common, int64_t segment_length) const {
  ops::QkvProjections heads = split_heads(tokens);
  if (slots.empty()) return ops::prepare_qkv(heads, common.rotary, segment_length);
  auto split = [&](const at::Tensor& t) { return t.view({t.size(0), t.size(1), -1, head_dim}); };
  const at::Tensor slot_k = split(slots[0]), slot_v = split(slots[1]);
  if (concatenates_prefix(slot_k.size(1), common.backend, tokens[0].device())) {
    heads.slot_k_GPJD = slot_k;
    heads.slot_v_GPJD = slot_v;
    heads.v_has_prefix_rows = true;
    return ops::prepare_qkv(heads, common.rotary, segment_length);
  }
  ops::AttentionHeads prepared = ops::prepare_qkv(heads, common.rotary, segment_length);
  prepared.slot_k_GPJD = slot_k;
  prepared.slot_v_GPJD = slot_v;
  return prepared;
}

at::Tensor AttentionProjections::project_output(const at::Tensor& attended, const at::Tensor& valid_BT,
                                                const at::Tensor& x_BTC) const {
  if (valid_BT.defined()) {
    const at::Tensor out_BTX = attended.reshape({x_BTC.size(0), x_BTC.size(1), q_proj.weight.size(0)});
    return o_proj.forward(out_BTX * valid_BT.unsqueeze(-1));
  }
  // In place: the segments may have row gaps.
  const at::Tensor rows = attended.flatten(-2);
  return o_proj.forward(rows.dim() > 3 ? rows.flatten(0, -3) : rows).view(x_BTC.sizes());
}

NamedLinears AttentionProjections::linears() {
  return {{"q_proj", &q_proj}, {"k_proj", &k_proj}, {"v_proj", &v_proj}, {"o_proj", &o_proj}};
}

void AttentionProjections::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  visit_linears(linears(), prefix, visit);
  if (!q_norm.defined()) return;
  visit(prefix + ".q_norm.weight", q_norm);
  visit(prefix + ".k_norm.weight", k_norm);
}

}  // namespace hici::nn
