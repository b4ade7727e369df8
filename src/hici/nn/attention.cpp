// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention.h"

#include "hici/base/error.h"
#include "hici/ops/rms_norm.h"
#include "hici/ops/segment_attention.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::nn {
namespace {

// [B, T, X, D] -> [B * N, S, X, D], a view.
at::Tensor fold_segments(const at::Tensor& t_BTXD, int64_t segment_length) {
  const int64_t segments = t_BTXD.size(0) * t_BTXD.size(1) / segment_length;
  return t_BTXD.reshape({segments, segment_length, t_BTXD.size(2), t_BTXD.size(3)});
}

at::Tensor plain_segments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t segment_length) {
  auto fold = [&](const at::Tensor& t) { return fold_segments(t, segment_length); };
  return ops::segment_attention(fold(q), fold(k), fold(v)).reshape(q.sizes());
}

// Heads of the second half: segments cut at S/2, S/2 + S, ...; the first and the last hold S/2 tokens (S - S/2 the
// last).
at::Tensor shifted_segments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t segment_length) {
  const int64_t length = q.size(1), head = std::min(segment_length / 2, length);
  const int64_t middle = (length - head) / segment_length * segment_length, tail = length - head - middle;
  std::vector<at::Tensor> parts;
  auto add = [&](int64_t start, int64_t count, int64_t each) {
    if (count == 0) return;
    auto cut = [&](const at::Tensor& t) { return t.narrow(1, start, count); };
    parts.push_back(plain_segments(cut(q), cut(k), cut(v), each));
  };
  add(0, head, head);
  add(head, middle, segment_length);
  add(head + middle, tail, tail);
  return at::cat(parts, 1);
}

at::Tensor repeat_heads(const at::Tensor& t_BTJD, int64_t heads) {
  return t_BTJD.size(2) == heads ? t_BTJD : t_BTJD.repeat_interleave(heads / t_BTJD.size(2), 2);
}

at::Tensor shifted_sparse_attention(const at::Tensor& q, const at::Tensor& k_in, const at::Tensor& v_in,
                                    int64_t segment_length) {
  const int64_t heads = q.size(2), half = heads / 2;
  const at::Tensor k = repeat_heads(k_in, heads), v = repeat_heads(v_in, heads);
  auto low = [&](const at::Tensor& t) { return t.narrow(2, 0, half); };
  auto high = [&](const at::Tensor& t) { return t.narrow(2, half, heads - half); };
  return at::cat({plain_segments(low(q), low(k), low(v), segment_length),
                  shifted_segments(high(q), high(k), high(v), segment_length)},
                 2);
}

bool contains(const std::vector<std::string>& names, const char* name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

AttentionKind attention_kind_from_name(std::string_view name, std::string_view subject) {
  if (name == "hici") return AttentionKind::kHici;
  if (name == "full") return AttentionKind::kFull;
  HICI_CHECK_USAGE(name == "s2", subject, ": unknown attention '", name, "'; use hici, full or s2");
  return AttentionKind::kS2;
}

std::string_view attention_kind_name(AttentionKind kind) {
  switch (kind) {
    case AttentionKind::kHici:
      return "hici";
    case AttentionKind::kFull:
      return "full";
    default:
      return "s2";
  }
}

Attention::Attention(const config::ModelConfig& config, const ParameterOptions& options)
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

at::Tensor Attention::forward(const at::Tensor& x_BTC, const AttentionContext& context) const {
  const Heads heads = project(x_BTC, context);
  at::Tensor out_BTHD;
  switch (context.kind) {
    case AttentionKind::kHici:
      out_BTHD = attend_segments(heads, x_BTC, context);
      break;
    case AttentionKind::kFull:
      out_BTHD = ops::segment_attention(heads.q_BTHD, heads.k_BTJD, heads.v_BTJD);
      break;
    case AttentionKind::kS2:
      out_BTHD = shifted_sparse_attention(heads.q_BTHD, heads.k_BTJD, heads.v_BTJD, context.segment_length);
      break;
  }
  return project_output(out_BTHD, context);
}

SegmentOutput Attention::forward_segment(const at::Tensor& x_BSC, const AttentionContext& context,
                                         const LayerState& before) const {
  const Heads heads = project(x_BSC, context);
  const int64_t length = x_BSC.size(1);
  SegmentSlots made;
  if (hierarchy) made = hierarchy->make_segment_slots(x_BSC, context.valid_BT, context.segment, before);
  const at::Tensor out_BSHD = made.prefix.any() ? attend_with_prefix(heads, made.prefix, length)
                                                : plain_segments(heads.q_BTHD, heads.k_BTJD, heads.v_BTJD, length);
  return {project_output(out_BSHD, context), std::move(made.after)};
}

at::Tensor Attention::project_output(const at::Tensor& out_BTHD, const AttentionContext& context) const {
  at::Tensor out_BTX = out_BTHD.reshape({out_BTHD.size(0), out_BTHD.size(1), q_proj.weight.size(0)});
  if (context.valid_BT.defined()) out_BTX = out_BTX * context.valid_BT.unsqueeze(-1);
  return o_proj.forward(out_BTX);
}

Attention::Heads Attention::project(const at::Tensor& x_BTC, const AttentionContext& context) const {
  auto split = [&](const Linear& linear) {
    return linear.forward(x_BTC).view({x_BTC.size(0), x_BTC.size(1), -1, head_dim});
  };
  at::Tensor q = split(q_proj), k = split(k_proj);
  if (q_norm.defined()) {
    q = ops::rms_norm(q, q_norm, norm_eps);
    k = ops::rms_norm(k, k_norm, norm_eps);
  }
  return {ops::rotary(q, context.rotary), ops::rotary(k, context.rotary), split(v_proj)};
}

at::Tensor Attention::attend_segments(const Heads& heads, const at::Tensor& x_BTC,
                                      const AttentionContext& context) const {
  const int64_t segment_length = context.segment_length;
  HICI_ASSERT(segment_length > 0 && x_BTC.size(1) % segment_length == 0, "T ", x_BTC.size(1), " S ", segment_length);
  PrefixSlots prefix;
  if (hierarchy) prefix = hierarchy->make_slots(x_BTC, context.valid_BT, segment_length);
  if (!prefix.any()) return plain_segments(heads.q_BTHD, heads.k_BTJD, heads.v_BTJD, segment_length);
  if (prefix.first_segment_sees) return attend_with_prefix(heads, prefix, segment_length);

  auto first = [&](const at::Tensor& t) { return t.narrow(1, 0, segment_length); };
  auto rest = [&](const at::Tensor& t) { return t.narrow(1, segment_length, t.size(1) - segment_length); };
  const at::Tensor out_first = ops::segment_attention(first(heads.q_BTHD), first(heads.k_BTJD), first(heads.v_BTJD));
  if (x_BTC.size(1) == segment_length) return out_first;
  const Heads later{rest(heads.q_BTHD), rest(heads.k_BTJD), rest(heads.v_BTJD)};
  const PrefixSlots later_prefix{prefix.slots_BNPC.narrow(1, 1, prefix.slots_BNPC.size(1) - 1)};
  return at::cat({out_first, attend_with_prefix(later, later_prefix, segment_length)}, 1);
}

// Slots pass through the layer's own key and value projections, adapters included; no rotary embedding, no QK-norm.
at::Tensor Attention::attend_with_prefix(const Heads& heads, const PrefixSlots& prefix, int64_t segment_length) const {
  const at::Tensor slots = prefix.slots_BNPC.flatten(0, 1);  // [B * N, P, C]
  auto with_slots = [&](const Linear& linear, const at::Tensor& tokens_BTJD) {
    const at::Tensor projected = linear.forward(slots).view({slots.size(0), slots.size(1), -1, head_dim});
    return at::cat({projected, fold_segments(tokens_BTJD, segment_length)}, 1);
  };
  return ops::segment_attention(fold_segments(heads.q_BTHD, segment_length), with_slots(k_proj, heads.k_BTJD),
                                with_slots(v_proj, heads.v_BTJD))
      .reshape(heads.q_BTHD.sizes());
}

void Attention::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  q_proj.visit_parameters(prefix + ".q_proj", visit);
  k_proj.visit_parameters(prefix + ".k_proj", visit);
  v_proj.visit_parameters(prefix + ".v_proj", visit);
  o_proj.visit_parameters(prefix + ".o_proj", visit);
  if (q_norm.defined()) {
    visit(prefix + ".q_norm.weight", q_norm);
    visit(prefix + ".k_norm.weight", k_norm);
  }
  if (hierarchy) hierarchy->visit_parameters(prefix, visit);
}

void Attention::add_lora(const std::vector<std::string>& targets, int64_t rank, double scale) {
  if (contains(targets, "q_proj")) q_proj.add_lora(rank, scale);
  if (contains(targets, "k_proj")) k_proj.add_lora(rank, scale);
  if (contains(targets, "v_proj")) v_proj.add_lora(rank, scale);
  if (contains(targets, "o_proj")) o_proj.add_lora(rank, scale);
  if (hierarchy) hierarchy->add_lora(targets, rank, scale);
}

}  // namespace hici::nn
