// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/hierarchical.h"

#include "hici/base/error.h"
#include "hici/device/side_stream.h"

#include <ATen/ATen.h>

#include <utility>

namespace hici::nn {
namespace {

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

// The prefix of every segment, and its keys and values.
struct ProjectedSlots {
  PrefixSlots prefix;
  TensorList keys_and_values;
};

ProjectedSlots make_slots(const AttentionProjections& projections, SlotProvider& hierarchy, const at::Tensor& x,
                          const at::Tensor& valid_BT, int64_t segment_length, const parallel::SegmentShare& share,
                          device::SideStream& side_stream) {
  ProjectedSlots made;
  PrefixSlots& prefix = made.prefix;
  made.keys_and_values = side_stream.run({x}, [&](const auto& wait_for_inputs) {
    const ops::LaterWeightGradients later(side_stream.is_separate());
    prefix.slots_BNPC = device::profiled(
        device::Part::kHici,
        [&](const at::Tensor& marked) {
          const TensorList prepared = hierarchy.prepare();
          wait_for_inputs();
          prefix = hierarchy.make_slots(marked, valid_BT, segment_length, prepared, share);
          return prefix.slots_BNPC;
        },
        x);
    return projections.project_slots(prefix);
  });
  return made;
}

}  // namespace

at::Tensor attend_hierarchical(const AttentionProjections& projections, SlotProvider& hierarchy,
                               const at::Tensor& x_BTC, const at::Tensor& x_for_slots, const CommonInputs& common,
                               const HierarchicalInputs& in) {
  const int64_t segment_length = in.length_in(x_BTC), batch = x_BTC.size(0);
  device::SideStream side_stream(x_BTC.device());
  // First: the GPU is busy while the many small operations of the slots are queued, and gradients of parameters that
  // both streams use are summed on the main stream (device/side_stream.h).
  const TensorList tokens = projections.project_tokens(x_BTC, hierarchy.num_slots(), segment_length, common.backend);
  const auto [prefix, slots] =
      make_slots(projections, hierarchy, x_for_slots, common.valid_BT, segment_length, in.share, side_stream);
  const ops::AttentionHeads prepared = projections.prepare_qkv(tokens, slots, common, segment_length);
  if (in.observer != nullptr) {
    in.observer->see({in.layer, prepared, batch, prefix.any() ? prefix.slots_BNPC.size(2) : 0, prefix.num_global,
                      prefix.first_segment_has_prefix, common.valid_BT});
  }
  const bool has_one_form = !prefix.any() || prefix.first_segment_has_prefix;
  const at::Tensor out = as_attention(prepared, [&](const ops::AttentionHeads& heads) {
    return has_one_form ? ops::segment_attention(heads, common.backend)
                        : attend_with_unprefixed_first(heads, batch, common.backend);
  });
  return has_one_form || in.share.is_whole() ? out : parallel::keep_in_graph(out, prefix.slots_BNPC);
}

AttendedSegment attend_one_segment(const AttentionProjections& projections, SlotProvider& hierarchy,
                                   const at::Tensor& x_BSC, const CommonInputs& common, int64_t segment,
                                   const LayerState& before, const parallel::SegmentShare& share) {
  const int64_t length = x_BSC.size(1);
  device::SideStream side_stream(x_BSC.device());
  const int64_t num_slots = segment == 0 ? hierarchy.num_slots_of_first_segment() : hierarchy.num_slots();
  const TensorList tokens = projections.project_tokens(x_BSC, num_slots, length, common.backend);
  TensorList slots, inputs = before;
  inputs.push_back(x_BSC);
  SegmentSlots made;
  side_stream.run(inputs, [&](const auto& wait_for_inputs) {
    const ops::LaterWeightGradients later(side_stream.is_separate());
    const TensorList prepared = hierarchy.prepare();
    wait_for_inputs();
    made = hierarchy.make_segment_slots(x_BSC, common.valid_BT, segment, before, prepared, share);
    slots = projections.project_slots(made.prefix);
    TensorList outputs = slots;
    outputs.insert(outputs.end(), made.after.begin(), made.after.end());
    return outputs;
  });
  at::Tensor heads =
      as_attention(projections.prepare_qkv(tokens, slots, common, length),
                   [&](const ops::AttentionHeads& marked) { return ops::segment_attention(marked, common.backend); });
  for (const at::Tensor& unread : made.unread) heads = parallel::keep_in_graph(heads, unread);
  return {heads, std::move(made.after)};
}

void write_slots(const AttentionProjections& projections, SlotProvider& hierarchy, const at::Tensor& x_1TC,
                 const LayerCache& cache) {
  HICI_ASSERT(x_1TC.size(0) == 1, "x ", x_1TC.sizes());
  const int64_t count = hierarchy.num_slots_of_first_segment();
  if (count == 0) return;
  const PrefixSlots prefix = hierarchy.make_slots(x_1TC, {}, x_1TC.size(1), hierarchy.prepare(), {});
  const TensorList slots = projections.project_slots(prefix);
  cache.k_BXJD.narrow(1, 0, count).copy_(slots[0].view({1, count, -1, projections.head_dim}));
  cache.v_BXJD.narrow(1, 0, count).copy_(slots[1].view({1, count, -1, projections.head_dim}));
}

}  // namespace hici::nn
