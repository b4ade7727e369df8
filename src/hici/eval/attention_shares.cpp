// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/attention_shares.h"

#include "hici/base/error.h"
#include "hici/eval/attention_rows.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace hici::eval {
namespace {

// Segment g of the G that the view holds.
SegmentHeads segment_of(const nn::AttentionView& view, int64_t g, int64_t block) {
  const ops::AttentionHeads& heads = view.heads;
  const int64_t length = heads.q_GSHD.size(1), segments = heads.q_GSHD.size(0) / view.batch;
  const at::Tensor k = heads.k_GKJD[g];
  SegmentHeads segment{heads.q_GSHD[g], k.narrow(0, k.size(0) - length, length), {}, 0, block};
  if (view.num_slots == 0 || (g % segments == 0 && !view.first_segment_has_prefix)) return segment;
  segment.slot_k_PJD = heads.slot_k_GPJD.defined() ? heads.slot_k_GPJD[g] : k.narrow(0, 0, view.num_slots);
  segment.num_global = view.num_global_slots;
  return segment;
}

// Right padding: how many queries of each segment count.
std::vector<int64_t> valid_counts(const nn::AttentionView& view) {
  const int64_t segments = view.heads.q_GSHD.size(0), length = view.heads.q_GSHD.size(1);
  if (!view.valid_BT.defined()) return std::vector<int64_t>(static_cast<size_t>(segments), length);
  const at::Tensor counts = view.valid_BT.reshape({segments, length}).sum(1).cpu();
  return {counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + segments};
}

// Of the first `valid` queries, [H, X] float64.
at::Tensor sum_shares(const SegmentHeads& segment, int64_t valid) {
  at::Tensor sums = at::zeros({kAttentionParts, segment.q_SHD.size(1)}, segment.q_SHD.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < valid; begin += segment.block) {
    const AttentionRows rows(segment, begin, std::min(segment.block, valid - begin));
    sums += rows.shares_XHq().sum(2, /*keepdim=*/false, at::kDouble);
  }
  return sums.transpose(0, 1);
}

// Weights of one head, or the mean over all: [H, q, k] -> sum over the queries [k], float64.
at::Tensor pooled_weights(const at::Tensor& weights_Hqk, const std::optional<int64_t>& head) {
  return head ? weights_Hqk[*head].sum(0, /*keepdim=*/false, at::kDouble)
              : weights_Hqk.sum(1, /*keepdim=*/false, at::kDouble).mean(0);
}

// One row of the map: queries [begin, end), pooled.
std::vector<double> map_row(const SegmentHeads& segment, const AttentionMap& map, int64_t begin, int64_t end,
                            const std::optional<int64_t>& head) {
  const int64_t slots = map.num_global + map.num_local, length = segment.q_SHD.size(0);
  const int64_t blocks = (length + map.block_tokens - 1) / map.block_tokens;
  const auto options = segment.q_SHD.options().dtype(at::kDouble);
  at::Tensor to_slots = at::zeros({slots}, options), to_tokens = at::zeros({blocks * map.block_tokens}, options);
  for (int64_t at = begin; at < end; at += segment.block) {
    const AttentionRows rows(segment, at, std::min(segment.block, end - at));
    if (segment.slot_k_PJD.defined()) to_slots += pooled_weights(rows.slot_weights_HqP(), head);
    rows.for_each_token_block([&](const at::Tensor& weights_Hqk, int64_t first) {
      to_tokens.narrow(0, first, weights_Hqk.size(2)).add_(pooled_weights(weights_Hqk, head));
    });
  }
  const at::Tensor pooled =
      at::cat({to_slots, to_tokens.view({blocks, map.block_tokens}).sum(1)}) / static_cast<double>(end - begin);
  const at::Tensor row = pooled.cpu();
  return {row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel()};
}

AttentionMap map_segment(const nn::AttentionView& view, const MapPlace& place, int64_t g, int64_t valid,
                         int64_t block) {
  const int64_t length = view.heads.q_GSHD.size(1);
  const SegmentHeads segment = segment_of(view, g, block);
  AttentionMap map{view.num_global_slots,
                   view.num_slots - view.num_global_slots,
                   (length + place.max_blocks - 1) / place.max_blocks,
                   {}};
  for (int64_t begin = 0; begin < valid; begin += map.block_tokens) {
    map.rows.push_back(map_row(segment, map, begin, std::min(begin + map.block_tokens, valid), place.head));
  }
  return map;
}

}  // namespace

AttentionShares::AttentionShares(int64_t num_layers, int64_t num_heads, std::optional<MapPlace> place, int64_t block)
    : num_layers_(num_layers), num_heads_(num_heads), place_(place), block_(block) {}

void AttentionShares::see(const nn::AttentionView& view) {
  const at::NoGradGuard no_grad;
  const int64_t segments = view.heads.q_GSHD.size(0) / view.batch;
  if (!sums_LHX_.defined()) {
    sums_LHX_ = at::zeros({num_layers_, num_heads_, kAttentionParts}, view.heads.q_GSHD.options().dtype(at::kDouble));
  }
  const std::vector<int64_t> valid = valid_counts(view);
  for (size_t g = 0; g < valid.size(); ++g) {
    sums_LHX_.select(0, view.layer).add_(sum_shares(segment_of(view, static_cast<int64_t>(g), block_), valid[g]));
    if (view.layer == 0) num_queries_ += valid[g];
  }
  if (!place_ || place_->layer != view.layer) return;
  const int64_t g = place_->sequence * segments + place_->segment;
  HICI_ASSERT(place_->sequence < view.batch && place_->segment < segments, "map of segment ", place_->segment);
  map_ = map_segment(view, *place_, g, valid[static_cast<size_t>(g)], block_);
}

at::Tensor AttentionShares::sums_LHX() const {
  return sums_LHX_.defined() ? sums_LHX_.cpu() : at::zeros({num_layers_, num_heads_, kAttentionParts}, at::kDouble);
}

}  // namespace hici::eval
