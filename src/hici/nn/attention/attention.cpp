// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/attention.h"

#include "hici/base/error.h"
#include "hici/nn/dropout.h"

#include <ATen/ATen.h>

#include <utility>

namespace hici::nn {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;  // said for clang before 17

}  // namespace

at::Tensor Attention::attend(const at::Tensor& x, const AttentionInputs& inputs, const at::Tensor& x_for_slots) const {
  const CommonInputs& common = inputs.common;
  const Overloaded cases{[&](const FullInputs&) { return attend_full(projections, x, common); },
                         [&](const SegmentInputs& in) { return attend_segments(projections, x, common, in); },
                         [&](const ShiftedInputs& in) { return attend_shifted(projections, x, common, in); },
                         [&](const HierarchicalInputs& in) {
                           HICI_ASSERT(hierarchy != nullptr, "HiCI attention in a layer without a hierarchy");
                           return attend_hierarchical(projections, *hierarchy, x, x_for_slots, common, in);
                         },
                         [&](const DualChunkInputs& in) { return attend_dual_chunks(projections, x, common, in); }};
  return std::visit(cases, inputs.kind);
}

at::Tensor Attention::forward(const at::Tensor& x_BTC, const AttentionInputs& inputs,
                              const at::Tensor& x_for_slots) const {
  if (!inputs.sequences.empty()) return forward_sequences(x_BTC, inputs);
  const at::Tensor attended = attend(x_BTC, inputs, x_for_slots.defined() ? x_for_slots : x_BTC);
  return projections.project_output(attended, inputs.common.valid_BT, x_BTC);
}

at::Tensor Attention::forward_sequences(const at::Tensor& x_BTC, const AttentionInputs& inputs) const {
  HICI_ASSERT(static_cast<int64_t>(inputs.sequences.size()) == x_BTC.size(0) &&
                  !std::holds_alternative<DualChunkInputs>(inputs.kind),
              inputs.sequences.size(), " rows of ", x_BTC.size(0));
  TensorList rows;
  for (int64_t b = 0; b < x_BTC.size(0); ++b) {
    TensorList parts;
    int64_t begin = 0;
    for (const int64_t length : inputs.sequences[static_cast<size_t>(b)]) {
      auto cut = [&](const at::Tensor& t_BT) {
        return t_BT.defined() ? t_BT.narrow(0, b, 1).narrow(1, begin, length) : t_BT;
      };
      const ops::RotaryTables& rotary = inputs.common.rotary;
      const AttentionInputs own{{cut(inputs.common.valid_BT),
                                 {rotary.cos.narrow(0, 0, length), rotary.sin.narrow(0, 0, length)},
                                 inputs.common.backend},
                                inputs.kind,
                                {}};
      const DropoutScope scope(DropoutScope::for_sequence(b, begin));
      parts.push_back(forward(cut(x_BTC), own));
      begin += length;
    }
    if (begin < x_BTC.size(1))
      parts.push_back(at::zeros_like(x_BTC.narrow(0, b, 1).narrow(1, begin, x_BTC.size(1) - begin)));
    rows.push_back(at::cat(parts, 1));
  }
  return at::cat(rows, 0);
}

at::Tensor Attention::forward_cached(const at::Tensor& x_BTC, const CachedInputs& inputs,
                                     const LayerCache& cache) const {
  const auto* dual_chunk = std::get_if<DualChunkInputs>(&inputs.kind);
  const at::Tensor attended =
      dual_chunk != nullptr ? attend_dual_chunks(projections, x_BTC, inputs.common, *dual_chunk, inputs.rows, cache)
                            : attend_cached(projections, x_BTC, inputs.common, inputs.rows, cache);
  return projections.project_output(attended, {}, x_BTC);
}

SegmentOutput Attention::forward_segment(const at::Tensor& x_BSC, const StreamedInputs& inputs,
                                         const LayerState& before) const {
  AttendedSegment attended = hierarchy ? attend_one_segment(projections, *hierarchy, x_BSC, inputs.common,
                                                            inputs.segment, before, inputs.share)
                                       : AttendedSegment{attend_segments(projections, x_BSC, inputs.common, {}), {}};
  return {projections.project_output(attended.heads, inputs.common.valid_BT, x_BSC), std::move(attended.after)};
}

void Attention::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  projections.visit_parameters(prefix, visit);
  if (hierarchy) hierarchy->visit_parameters(prefix, visit);
}

void Attention::add_lora(const std::string& prefix, const config::LoraConfig& lora) {
  adapt_linears(projections.linears(), prefix, lora);
  if (hierarchy) hierarchy->add_lora(prefix, lora);
}

}  // namespace hici::nn
