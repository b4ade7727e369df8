// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/streamed_forward.h"

#include "hici/parallel/segment_cut.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace hici::nn {

void forward_by_segments(const CausalLm& model, const at::Tensor& tokens_BT, const ForwardOptions& options,
                         const std::function<void(const at::Tensor& hidden_BSC, int64_t at)>& on_segment) {
  const at::NoGradGuard no_grad;
  const int64_t length = options.segment_length, here = tokens_BT.size(1) / length;
  const parallel::SegmentCut dealt = parallel::SegmentCut::of(options.share, length, true);
  const ops::RotaryFrequencies frequencies = model.rotary_frequencies();
  ModelState state = model.empty_state(tokens_BT.size(0));
  for (int64_t i = 0; i < here; ++i) {
    const auto cut = [&](const at::Tensor& t) { return t.defined() ? t.narrow(1, i * length, length) : t; };
    SegmentHidden out = model.forward_segment(
        {cut(tokens_BT), dealt.number_of(i, here), cut(options.valid_BT), frequencies, options.backend, options.share},
        state);
    on_segment(out.hidden_BSC, i * length);
    state = std::move(out.after);
  }
}

}  // namespace hici::nn
