// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/segment_cut.h"

#include "hici/base/error.h"

#include <ATen/ATen.h>

namespace hici::parallel {

SegmentCut SegmentCut::of(const SegmentShare& share, int64_t segment_length, bool is_dealt) {
  if (share.is_whole()) return {.segment_length = segment_length, .is_dealt = is_dealt};
  return {share.group->rank(), share.group->size(), segment_length, is_dealt};
}

int64_t SegmentCut::segments_here(int64_t length) const {
  HICI_ASSERT(segment_length > 0 && length % segment_length == 0, "T ", length, " S ", segment_length);
  return (length / segment_length + processes - 1) / processes;
}

bool SegmentCut::has_padding(int64_t length) const {
  return processes > 1 && segments_here(length) * processes * segment_length > length;
}

int64_t SegmentCut::number_of(int64_t index, int64_t here) const {
  return is_dealt ? index * processes + process : process * here + index;
}

at::Tensor SegmentCut::own(const at::Tensor& t_BT, int64_t padding) const {
  if (processes == 1) return t_BT;
  const int64_t length = t_BT.size(1), here = segments_here(length) * segment_length;
  const at::Tensor whole = at::constant_pad_nd(t_BT, {0, here * processes - length}, padding);
  return is_dealt ? whole.unflatten(1, {-1, processes, segment_length}).select(2, process).flatten(1)
                  : whole.narrow(1, process * here, here).contiguous();
}

}  // namespace hici::parallel
