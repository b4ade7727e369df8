// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention.h"

#include "hici/base/error.h"
#include "hici/device/profile.h"
#include "hici/ops/cached_attention.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::nn {
namespace {

at::Tensor plain_segments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t segment_length,
                          ops::AttentionBackend backend) {
  auto fold = [&](const at::Tensor& t) {  // [B, T, X, D] -> [B * N, S, X, D]
    return t.reshape({t.size(0) * t.size(1) / segment_length, segment_length, t.size(2), t.size(3)});
  };
  return ops::segment_attention(fold(q), fold(k), fold(v), backend).reshape(q.sizes());
}

// Heads of the second half: segments cut at S/2, S/2 + S, ...; the first and the last hold S/2 tokens (S - S/2 the
// last).
at::Tensor shifted_segments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t segment_length,
                            ops::AttentionBackend backend) {
  const int64_t length = q.size(1), head = std::min(segment_length / 2, length);
  const int64_t middle = (length - head) / segment_length * segment_length, tail = length - head - middle;
  std::vector<at::Tensor> parts;
  auto add = [&](int64_t start, int64_t count, int64_t each) {
    if (count == 0) return;
    auto cut = [&](const at::Tensor& t) { return t.narrow(1, start, count); };
    parts.push_back(plain_segments(cut(q), cut(k), cut(v), each, backend));
  };
  add(0, head, head);
  add(head, middle, segment_length);
  add(head + middle, tail, tail);
  return at::cat(parts, 1);
}

at::Tensor repeat_heads(const at::Tensor& t_BTJD, int64_t heads) {
  return t_BTJD.size(2) == heads ? t_BTJD : t_BTJD.repeat_interleave(heads / t_BTJD.size(2), 2);
}

at::Tensor shifted_sparse_attention(const ops::AttentionHeads& heads_in, int64_t segment_length,
                                    ops::AttentionBackend backend) {
  const at::Tensor& q = heads_in.q_GSHD;
  const int64_t heads = q.size(2), half = heads / 2;
  const at::Tensor k = repeat_heads(heads_in.k_GKJD, heads), v = repeat_heads(heads_in.v_GKJD, heads);
  auto low = [&](const at::Tensor& t) { return t.narrow(2, 0, half); };
  auto high = [&](const at::Tensor& t) { return t.narrow(2, half, heads - half); };
  return at::cat({plain_segments(low(q), low(k), low(v), segment_length, backend),
                  shifted_segments(high(q), high(k), high(v), segment_length, backend)},
                 2);
}

// The first segment of each sequence has no prefix and is a call of its own. Returns any shape in the order batch,
// token, head, head dim.
at::Tensor attend_with_unprefixed_first(const ops::AttentionHeads& heads, int64_t batch,
                                        ops::AttentionBackend backend) {
  const int64_t length = heads.q_GSHD.size(1), segments = heads.q_GSHD.size(0) / batch;
  auto first = [&](const at::Tensor& t) {  // its own tokens are the last rows
    return t.unflatten(0, {batch, segments}).select(1, 0).narrow(1, t.size(1) - length, length);
  };
  auto rest = [&](const at::Tensor& t) {
    return t.defined() ? t.unflatten(0, {batch, segments}).narrow(1, 1, segments - 1).flatten(0, 1) : t;
  };
  const at::Tensor out_first =
      ops::segment_attention(first(heads.q_GSHD), first(heads.k_GKJD), first(heads.v_GKJD), backend);
  if (segments == 1) return out_first;
  const at::Tensor out_rest = ops::segment_attention(
      {rest(heads.q_GSHD), rest(heads.k_GKJD), rest(heads.v_GKJD), rest(heads.slot_k_GPJD), rest(heads.slot_v_GPJD)},
      backend);
  return at::cat({out_first.unsqueeze(1), out_rest.unflatten(0, {batch, segments - 1})}, 1);
}

// body(heads), marked as attention while a profile is taken.
template <typename Body>
at::Tensor as_attention(const ops::AttentionHeads& heads, const Body& body) {
  auto marked = [&](const auto&... tensors) { return body(ops::AttentionHeads{tensors...}); };
  const auto& [q, k, v, slot_k, slot_v] = heads;
  return slot_k.defined() ? device::profiled(device::Part::kAttention, marked, q, k, v, slot_k, slot_v)
                          : device::profiled(device::Part::kAttention, marked, q, k, v);
}

bool contains(const std::vector<std::string>& names, const char* name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

AttentionKind attention_kind_from_name(std::string_view name, std::string_view subject) {
  if (name == "hici") return AttentionKind::kHici;
  if (name == "full") return AttentionKind::kFull;
  if (name == "dca") return AttentionKind::kDca;
  HICI_CHECK_USAGE(name == "s2", subject, ": unknown attention '", name,
                   "'; use hici, full, s2 (training only) or dca (evaluation only)");
  return AttentionKind::kS2;
}

std::string_view attention_kind_name(AttentionKind kind) {
  switch (kind) {
    case AttentionKind::kHici:
      return "hici";
    case AttentionKind::kFull:
      return "full";
    case AttentionKind::kDca:
      return "dca";
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

at::Tensor Attention::forward(const at::Tensor& x_BTC, const AttentionContext& given, const LayerCache* cache,
                              const at::Tensor& x_for_slots) const {
  if (cache != nullptr) return project_output(attend_cached(x_BTC, given, *cache), given, x_BTC);
  if (!given.sequences.empty()) return forward_sequences(x_BTC, given);
  if (given.kind == AttentionKind::kDca) return project_output(attend_dual_chunks(x_BTC, given, nullptr), given, x_BTC);
  AttentionContext context = given;
  if (context.segment_length == 0) context.segment_length = x_BTC.size(1);
  HICI_ASSERT(x_BTC.size(1) % context.segment_length == 0 || context.kind == AttentionKind::kFull, "T ", x_BTC.size(1),
              " S ", context.segment_length);
  if (context.kind == AttentionKind::kHici)
    return project_output(attend_segments(x_BTC, x_for_slots.defined() ? x_for_slots : x_BTC, context), context, x_BTC);
  const ops::AttentionHeads heads = prepare_qkv(project_tokens(x_BTC, 0, context), {}, context, x_BTC);
  const at::Tensor out = as_attention(heads, [&](const ops::AttentionHeads& marked) {
    return context.kind == AttentionKind::kS2
               ? shifted_sparse_attention(marked, context.segment_length, context.backend)
               : ops::segment_attention(marked, context.backend);
  });
  return project_output(out, context, x_BTC);
}

at::Tensor Attention::forward_sequences(const at::Tensor& x_BTC, const AttentionContext& context) const {
  HICI_ASSERT(static_cast<int64_t>(context.sequences.size()) == x_BTC.size(0) && context.kind != AttentionKind::kDca,
              context.sequences.size(), " rows of ", x_BTC.size(0));
  TensorList rows;
  for (int64_t b = 0; b < x_BTC.size(0); ++b) {
    TensorList parts;
    int64_t begin = 0;
    for (const int64_t length : context.sequences[static_cast<size_t>(b)]) {
      auto cut = [&](const at::Tensor& t_BT) {
        return t_BT.defined() ? t_BT.narrow(0, b, 1).narrow(1, begin, length) : t_BT;
      };
      AttentionContext own = context;
      own.sequences.clear();
      own.valid_BT = cut(context.valid_BT);
      own.rotary = {context.rotary.cos.narrow(0, 0, length), context.rotary.sin.narrow(0, 0, length)};
      parts.push_back(forward(cut(x_BTC), own));
      begin += length;
    }
    if (begin < x_BTC.size(1))
      parts.push_back(at::zeros_like(x_BTC.narrow(0, b, 1).narrow(1, begin, x_BTC.size(1) - begin)));
    rows.push_back(at::cat(parts, 1));
  }
  return at::cat(rows, 0);
}

SegmentOutput Attention::forward_segment(const at::Tensor& x_BSC, const AttentionContext& context,
                                         const LayerState& before) const {
  device::SideStream side_stream(x_BSC.device());
  int64_t num_slots = 0;
  if (hierarchy) num_slots = context.segment == 0 ? hierarchy->num_slots_of_first_segment() : hierarchy->num_slots();
  const TensorList tokens = project_tokens(x_BSC, num_slots, context);
  TensorList slots, inputs = before;
  inputs.push_back(x_BSC);
  SegmentSlots made;
  if (hierarchy) {
    side_stream.run(inputs, [&](const auto& wait_for_inputs) {
      const TensorList prepared = hierarchy->prepare();
      wait_for_inputs();
      made = hierarchy->make_segment_slots(x_BSC, context.valid_BT, context.segment, before, prepared);
      slots = project_slots(made.prefix);
      TensorList outputs = slots;
      outputs.insert(outputs.end(), made.after.begin(), made.after.end());
      return outputs;
    });
  }
  const at::Tensor out =
      as_attention(prepare_qkv(tokens, slots, context, x_BSC),
                   [&](const ops::AttentionHeads& heads) { return ops::segment_attention(heads, context.backend); });
  return {project_output(out, context, x_BSC), std::move(made.after)};
}

at::Tensor Attention::attend_segments(const at::Tensor& x_BTC, const at::Tensor& x_for_slots,
                                      const AttentionContext& context) const {
  device::SideStream side_stream(x_BTC.device());
  // First: the GPU is busy while the many small operations of the slots are queued, and gradients of parameters that
  // both streams use are summed on the main stream (device/side_stream.h).
  const TensorList tokens = project_tokens(x_BTC, hierarchy ? hierarchy->num_slots() : 0, context);
  PrefixSlots prefix;
  TensorList slots;
  if (hierarchy) {
    slots = side_stream.run({x_for_slots}, [&](const auto& wait_for_inputs) {
      prefix.slots_BNPC = device::profiled(
          device::Part::kHici,
          [&](const at::Tensor& x) {
            const TensorList prepared = hierarchy->prepare();
            wait_for_inputs();
            prefix = hierarchy->make_slots(x, context.valid_BT, context.segment_length, prepared, context.share);
            return prefix.slots_BNPC;
          },
          x_for_slots);
      return project_slots(prefix);
    });
  }
  const ops::AttentionHeads prepared_heads = prepare_qkv(tokens, slots, context, x_BTC);
  if (context.observer != nullptr) {
    context.observer->see({context.layer, prepared_heads, x_BTC.size(0), prefix.any() ? prefix.slots_BNPC.size(2) : 0,
                           prefix.num_global, prefix.first_segment_has_prefix, context.valid_BT});
  }
  const at::Tensor out = as_attention(prepared_heads, [&](const ops::AttentionHeads& heads) {
    return !prefix.any() || prefix.first_segment_has_prefix
               ? ops::segment_attention(heads, context.backend)
               : attend_with_unprefixed_first(heads, x_BTC.size(0), context.backend);
  });
  const bool may_leave_prefix_unread = prefix.any() && !prefix.first_segment_has_prefix && !context.share.is_whole();
  return may_leave_prefix_unread ? parallel::keep_in_graph(out, prefix.slots_BNPC) : out;
}

at::Tensor Attention::attend_cached(const at::Tensor& x_BTC, const AttentionContext& context,
                                    const LayerCache& cache) const {
  if (context.kind == AttentionKind::kDca) return attend_dual_chunks(x_BTC, context, &cache);
  const CacheRows& rows = context.cache_rows;
  if (!rows.decodes()) {
    const ops::AttentionHeads heads = prepare_qkv(project_tokens(x_BTC, 0, context), {}, context, x_BTC);
    const int64_t seen = rows.first_row + x_BTC.size(1);
    write_rows(cache, rows, heads.k_GKJD, heads.v_GKJD);
    return ops::prefill_attention(heads.q_GSHD, cache.k_BXJD.narrow(1, 0, seen), cache.v_BXJD.narrow(1, 0, seen),
                                  context.backend);
  }
  // The B tokens as one sequence, so that each has its own row of the rotary tables.
  const at::Tensor x_1BC = x_BTC.transpose(0, 1);
  const ops::AttentionHeads heads = prepare_qkv(project_tokens(x_1BC, 0, context), {}, context, x_1BC);
  write_rows(cache, rows, heads.k_GKJD, heads.v_GKJD);
  const int64_t skipped = rows.first_visible;
  auto visible = [&](const at::Tensor& t_BXJD) { return t_BXJD.narrow(1, skipped, t_BXJD.size(1) - skipped); };
  return ops::decode_attention(heads.q_GSHD[0], visible(cache.k_BXJD), visible(cache.v_BXJD), rows.lengths_B);
}

void Attention::write_slots(const at::Tensor& x_1TC, const LayerCache& cache) const {
  HICI_ASSERT(hierarchy != nullptr && x_1TC.size(0) == 1, "x ", x_1TC.sizes());
  const int64_t count = hierarchy->num_slots_of_first_segment();
  if (count == 0) return;
  const PrefixSlots prefix = hierarchy->make_slots(x_1TC, {}, x_1TC.size(1), hierarchy->prepare(), {});
  const TensorList slots = project_slots(prefix);
  cache.k_BXJD.narrow(1, 0, count).copy_(slots[0].view({1, count, -1, head_dim}));
  cache.v_BXJD.narrow(1, 0, count).copy_(slots[1].view({1, count, -1, head_dim}));
}

TensorList Attention::project_tokens(const at::Tensor& x_BTC, int64_t num_slots,
                                     const AttentionContext& context) const {
  ops::LinearLayout layout{.reserves_sms = num_slots > 0};
  if (concatenates_prefix(num_slots, context, x_BTC)) {
    layout.segment_length = context.segment_length;
    layout.rows_before = {0, 0, num_slots};
  }
  return Linear::forward_jointly(x_BTC, {&q_proj, &k_proj, &v_proj}, layout);
}

bool Attention::concatenates_prefix(int64_t num_slots, const AttentionContext& context, const at::Tensor& x_BTC) const {
  return num_slots > 0 && !ops::has_separate_prefix(context.backend, x_BTC.device());
}

// Slots pass through the layer's own key and value projections, adapters included; no rotary embedding, no QK-norm.
TensorList Attention::project_slots(const PrefixSlots& prefix) const {
  if (!prefix.any()) return {};
  return device::profiled(
      device::Part::kHici,
      [&](const at::Tensor& slots_GPC) { return Linear::forward_jointly(slots_GPC, {&k_proj, &v_proj}); },
      prefix.slots_BNPC.flatten(0, 1));
}

ops::AttentionHeads Attention::prepare_qkv(const TensorList& tokens, const TensorList& slots,
                                           const AttentionContext& context, const at::Tensor& x_BTC) const {
  auto split = [&](const at::Tensor& t) { return t.view({t.size(0), t.size(1), -1, head_dim}); };
  const int64_t segment_length = context.kind == AttentionKind::kHici ? context.segment_length : x_BTC.size(1);
  ops::QkvProjections heads{split(tokens[0]), split(tokens[1]), split(tokens[2]), {}, {}, q_norm, k_norm, norm_eps};
  if (slots.empty()) return ops::prepare_qkv(heads, context.rotary, segment_length);
  const at::Tensor slot_k = split(slots[0]), slot_v = split(slots[1]);
  if (concatenates_prefix(slot_k.size(1), context, x_BTC)) {
    heads.slot_k_GPJD = slot_k;
    heads.slot_v_GPJD = slot_v;
    heads.v_has_prefix_rows = true;
    return ops::prepare_qkv(heads, context.rotary, segment_length);
  }
  ops::AttentionHeads prepared = ops::prepare_qkv(heads, context.rotary, segment_length);
  prepared.slot_k_GPJD = slot_k;
  prepared.slot_v_GPJD = slot_v;
  return prepared;
}

// `out` holds the heads of the tokens of x_BTC in any shape of that order.
at::Tensor Attention::project_output(const at::Tensor& out, const AttentionContext& context,
                                     const at::Tensor& x_BTC) const {
  if (context.valid_BT.defined()) {
    const at::Tensor out_BTX = out.reshape({x_BTC.size(0), x_BTC.size(1), q_proj.weight.size(0)});
    return o_proj.forward(out_BTX * context.valid_BT.unsqueeze(-1));
  }
  // In place: the segments may have row gaps.
  const at::Tensor rows = out.flatten(-2);
  return o_proj.forward(rows.dim() > 3 ? rows.flatten(0, -3) : rows).view(x_BTC.sizes());
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
