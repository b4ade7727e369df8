// SPDX-License-Identifier: Apache-2.0
#include "hici/train/micro_batch.h"

#include "hici/base/error.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/parallel/segment_cut.h"

#include <ATen/ATen.h>

namespace hici::train {
namespace {

at::Tensor pinned(const at::Tensor& t) {
  return t.defined() ? at::empty(t.sizes(), t.options().pinned_memory(true)).copy_(t) : t;
}

}  // namespace

void pin(MicroBatch& micro) {
  for (at::Tensor* t : {&micro.batch.tokens_BT, &micro.batch.labels_BT, &micro.batch.valid_BT, &micro.labelled_rows_n,
                        &micro.labels_n}) {
    *t = pinned(*t);
  }
}

// Labels are shifted already: that of a run's last token is the first token of the next one. Where the number of
// segments is not a multiple of the processes', segments of padding follow, which have no slots and no labels.
void cut_to_share(MicroBatch& micro, const BatchShare& share) {
  if (share.of_segments == 1) return;
  data::TokenBatch& batch = micro.batch;
  HICI_ASSERT(batch.sequences.empty(), "several sequences in a row");
  const parallel::SegmentCut cut{share.segments, share.of_segments, share.segment_length, share.is_dealt};
  const int64_t length = batch.tokens_BT.size(1);
  if (cut.has_padding(length) && !batch.valid_BT.defined())
    batch.valid_BT = at::ones(batch.tokens_BT.sizes(), at::kBool);
  micro.num_segments = length / share.segment_length;
  batch.tokens_BT = cut.own(batch.tokens_BT, 0);
  batch.labels_BT = cut.own(batch.labels_BT, ops::kIgnoredLabel);
  if (batch.valid_BT.defined()) batch.valid_BT = cut.own(batch.valid_BT, 0);
  batch.num_targets = batch.labels_BT.ne(ops::kIgnoredLabel).sum().item<int64_t>();
}

void pick_labelled_rows(MicroBatch& micro) {
  micro.labels_n = micro.batch.labels_BT.view(-1);
  const int64_t targets = micro.batch.num_targets;
  if (2 * targets >= micro.labels_n.numel() || targets == 0) return;
  micro.labelled_rows_n = micro.labels_n.ne(ops::kIgnoredLabel).nonzero().view(-1);
  micro.labels_n = micro.labels_n.index_select(0, micro.labelled_rows_n);
}

nn::ForwardOptions forward_over(const MicroBatch& micro, nn::ForwardOptions forward, const parallel::World& world,
                                at::Device device) {
  if (micro.batch.valid_BT.defined()) forward.valid_BT = micro.batch.valid_BT.to(device, /*non_blocking=*/true);
  forward.sequences = micro.batch.sequences;
  forward.share = {&world.segments(), micro.num_segments};
  return forward;
}

}  // namespace hici::train
