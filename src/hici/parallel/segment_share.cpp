// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/segment_share.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::parallel {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// own [B, n, M, C] -> all [B, R, n, M, C] for R processes.
class GatherSegments : public torch::autograd::Function<GatherSegments> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& own_BnMC, const ProcessGroup* group) {
    ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);  // of the run, which outlives every graph
    std::vector<int64_t> shape = own_BnMC.sizes().vec();
    shape.insert(shape.begin(), group->size());
    at::Tensor all_RBnMC = at::empty(shape, own_BnMC.options());
    group->all_gather(all_RBnMC, own_BnMC.contiguous());
    return all_RBnMC.transpose(0, 1).contiguous();
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto* group = reinterpret_cast<const ProcessGroup*>(ctx->saved_data["group"].toInt());
    const at::Tensor all_RBnMC = grads[0].transpose(0, 1).contiguous();
    const at::Tensor own_BnMC = at::empty(all_RBnMC.sizes().slice(1), all_RBnMC.options());
    group->reduce_scatter(own_BnMC, all_RBnMC);
    return {own_BnMC, {}};
  }
};

class KeepInGraph : public torch::autograd::Function<KeepInGraph> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& out, const at::Tensor& unread) {
    ctx->saved_data["shape"] = unread.sizes().vec();
    ctx->saved_data["type"] = unread.scalar_type();
    return out.view_as(out);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto type = ctx->saved_data["type"].toScalarType();
    return {grads[0], at::zeros(ctx->saved_data["shape"].toIntVector(), grads[0].options().dtype(type))};
  }
};

}  // namespace

at::Tensor gather_segments(const at::Tensor& slots_BnMC, const SegmentShare& share) {
  if (share.is_whole()) return slots_BnMC;
  const at::Tensor all_BXMC = GatherSegments::apply(slots_BnMC, share.group).flatten(1, 2);
  // A view of all would cost its backward pass two kernels.
  return all_BXMC.size(1) == share.num_segments ? all_BXMC : all_BXMC.narrow(1, 0, share.num_segments);
}

at::Tensor own_segments(const at::Tensor& all_BN, const SegmentShare& share, int64_t here) {
  if (share.is_whole()) return all_BN;
  const int64_t first = share.first_segment(here);
  if (first + here <= share.num_segments) return all_BN.narrow(1, first, here);
  const at::Tensor rows = at::arange(first, first + here, at::TensorOptions().dtype(at::kLong).device(all_BN.device()));
  return all_BN.index_select(1, rows.clamp_max(share.num_segments - 1));
}

at::Tensor keep_in_graph(const at::Tensor& out, const at::Tensor& unread) { return KeepInGraph::apply(out, unread); }

}  // namespace hici::parallel
