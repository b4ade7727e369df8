// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_cross_attention.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/optional_tensor.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The same queries for every segment, a view. With segments outermost nothing that follows has to be reordered.
at::Tensor in_every_segment(const at::Tensor& queries_QC, int64_t segments) {
  return queries_QC.expand({segments, -1, -1});
}

// In the type of x: softmax computes in float32 or better whatever its type.
at::Tensor weights_of(const at::Tensor& x_GSC, const at::Tensor& queries_QC, const at::Tensor& valid_GS) {
  at::Tensor score_GQS = at::bmm(in_every_segment(queries_QC, x_GSC.size(0)), x_GSC.transpose(1, 2));
  if (valid_GS.defined())
    score_GQS.masked_fill_(valid_GS.logical_not().unsqueeze(1), masked_score(score_GQS.scalar_type()));
  return at::softmax(score_GQS, -1);
}

// The weights, then the gradient of the scores: weight * (x . dmean - mean . dmean), the backward of softmax. [G, 2 Q,
// S]
at::Tensor weights_and_score_gradients(const at::Tensor& weight_GQS, const at::Tensor& dweight_GQS) {
  if (!weight_GQS.is_cuda()) {
    return at::cat({weight_GQS, at::_softmax_backward_data(dweight_GQS, weight_GQS, -1, weight_GQS.scalar_type())}, 1);
  }
  at::Tensor joint_GYS =
      at::empty({weight_GQS.size(0), 2 * weight_GQS.size(1), weight_GQS.size(2)}, weight_GQS.options());
  device::cuda_kernels().score_gradients(weight_GQS, dweight_GQS, joint_GYS);
  return joint_GYS;
}

// The gradient of the means, then the queries, in every segment. [G, 2 Q, C]
at::Tensor means_and_queries(const at::Tensor& dmean_QGC, const at::Tensor& queries_QC) {
  const int64_t rows = dmean_QGC.size(0), segments = dmean_QGC.size(1), width = dmean_QGC.size(2);
  if (!dmean_QGC.is_cuda()) return at::cat({dmean_QGC.transpose(0, 1), in_every_segment(queries_QC, segments)}, 1);
  at::Tensor joint_GYC = at::empty({segments, 2 * rows, width}, dmean_QGC.options());
  device::cuda_kernels().join_rows(dmean_QGC.contiguous(), queries_QC.contiguous(), joint_GYC);
  return joint_GYC;
}

// Few and plain kernels: on a GPU these run on the few SMs that large GEMMs reserve, where each pass over
// [G, Q, S] takes ten times as long as alone.
class SegmentCrossAttention : public torch::autograd::Function<SegmentCrossAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& queries_QC,
                            const std::optional<at::Tensor>& valid) {
    const at::Tensor x_GSC = x_in.contiguous(), valid_GS = valid.value_or(at::Tensor());
    const at::Tensor weight_GQS = weights_of(x_GSC, queries_QC, valid_GS);
    const at::Tensor mean_QGC = at::empty({queries_QC.size(0), x_GSC.size(0), x_GSC.size(2)}, x_GSC.options());
    at::Tensor mean_GQC = mean_QGC.transpose(0, 1);  // written where it is read
    at::bmm_out(mean_GQC, weight_GQS, x_GSC);
    ctx->save_for_backward({x_GSC, queries_QC, weight_GQS, valid_GS});
    return mean_QGC;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x_GSC = saved[0], &queries_QC = saved[1], &weight_GQS = saved[2];
    const auto model_dtype = x_GSC.scalar_type(), accumulation_dtype = accumulation_type(model_dtype);
    const at::Tensor dmean_GQC = grads[0].transpose(0, 1);
    const at::Tensor joint_GYS = weights_and_score_gradients(weight_GQS, at::bmm(dmean_GQC, x_GSC.transpose(1, 2)));
    at::Tensor dscore_GQS = joint_GYS.narrow(1, weight_GQS.size(1), weight_GQS.size(1));
    // A masked score is a constant, also where it has weight (a segment of padding).
    if (saved[3].defined()) dscore_GQS.masked_fill_(saved[3].logical_not().unsqueeze(1), 0);
    // By way of the means and of the scores, in one product: x is large, all else here is small.
    const at::Tensor dx_GSC = at::bmm(joint_GYS.transpose(1, 2), means_and_queries(grads[0], queries_QC));
    const at::Tensor dqueries_GQC = at::bmm(dscore_GQS, x_GSC);
    return {dx_GSC, dqueries_GQC.sum(0, /*keepdim=*/false, accumulation_dtype).to(model_dtype), at::Tensor()};
  }
};

}  // namespace

double masked_score(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return std::numeric_limits<double>::lowest();
    case at::kFloat:
      return std::numeric_limits<float>::lowest();
    case at::kBFloat16:
      return std::numeric_limits<at::BFloat16>::lowest();
    default:
      return std::numeric_limits<at::Half>::lowest();
  }
}

at::Tensor segment_cross_attention(const at::Tensor& x_GSC, const at::Tensor& queries_QC, const at::Tensor& valid_GS) {
  HICI_ASSERT(x_GSC.dim() == 3 && queries_QC.dim() == 2 && queries_QC.size(1) == x_GSC.size(2), "x ", x_GSC.sizes(),
              " queries ", queries_QC.sizes());
  return SegmentCrossAttention::apply(x_GSC, queries_QC, optional_tensor(valid_GS));
}

}  // namespace hici::ops
