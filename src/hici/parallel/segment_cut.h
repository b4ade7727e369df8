// SPDX-License-Identifier: Apache-2.0
// Which tokens of a sequence one of the processes has that share it by whole segments. Where their number does not
// divide that of the segments, segments of padding follow the sequence.
// B batch, T tokens, N segments, S tokens per segment, P processes
#pragma once

#include "hici/parallel/segment_share.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace hici::parallel {

struct SegmentCut {
  int64_t process = 0, processes = 1;
  int64_t segment_length = 0;  // S; read if processes > 1
  bool is_dealt = false;       // segments are dealt out one by one, for streaming; else in equal runs

  // That of a process in the group of `share`.
  static SegmentCut of(const SegmentShare& share, int64_t segment_length, bool is_dealt);

  // N / P, rounded up: segments of each process, of a sequence of `length` tokens, a multiple of S.
  int64_t segments_here(int64_t length) const;
  // Whether a process has a segment that the sequence has not.
  bool has_padding(int64_t length) const;
  // Number in the sequence of the `index`-th of `here` segments of this process.
  int64_t number_of(int64_t index, int64_t here) const;
  // One value per token [B, T] -> those of this process [B, segments_here(T) S], with `padding` for what is not there.
  // Of one process `t_BT` itself.
  at::Tensor own(const at::Tensor& t_BT, int64_t padding) const;
};

}  // namespace hici::parallel
