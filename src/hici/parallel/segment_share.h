// SPDX-License-Identifier: Apache-2.0
// One process's part of a sequence that several share: equal runs of whole segments, in the order of the ranks. What
// crosses between them are the local slots of all segments, so that every process computes the statistics of the same
// slots as one process would.
// B batch, N segments of the sequence, n of them here, M local slots, C hidden
#pragma once

#include "hici/parallel/process_group.h"

namespace hici::parallel {

struct SegmentShare {
  const ProcessGroup* group = nullptr;  // null, or of one: the whole sequence is here
  // N. Less than the processes have together where their number does not divide it: the last ones hold padding then.
  int64_t num_segments = 0;

  bool is_whole() const { return group == nullptr || group->is_alone(); }
  // Number, in the sequence, of the first of `here` segments that this process has.
  int64_t first_segment(int64_t here) const { return is_whole() ? 0 : group->rank() * here; }
};

// The slots of all processes: [B, n, M, C] -> [B, N, M, C]. The backward pass sums the gradients that all processes
// have for the slots of this one. The whole sequence: `slots` itself.
at::Tensor gather_segments(const at::Tensor& slots_BnMC, const SegmentShare& share);

// The rows of this process's segments, `here` of them: [B, N, ...] -> [B, n, ...]. Padding gets those of the last
// segment.
at::Tensor own_segments(const at::Tensor& all_BN, const SegmentShare& share, int64_t here);

// `out` itself, whose backward pass gives `unread` a gradient of zeros: the backward pass of gather_segments() needs
// all processes, also one that did not read what it gathered.
at::Tensor keep_in_graph(const at::Tensor& out, const at::Tensor& unread);

}  // namespace hici::parallel
