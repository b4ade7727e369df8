// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/read_segments.h"

#include "hici/base/error.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/optional_tensor.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The lowest finite number, not -inf: a segment without a valid token gets equal weights instead of NaN.
double lowest_value(at::ScalarType type) {
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

// The same queries for every segment, a view. With segments outermost nothing that follows has to be reordered.
at::Tensor in_every_segment(const at::Tensor& queries_XC, int64_t segments) {
  return queries_XC.expand({segments, -1, -1});
}

// In the type of x: softmax computes in float32 or better whatever its type.
at::Tensor weights_of(const at::Tensor& x_GSC, const at::Tensor& queries_XC, const at::Tensor& valid_GS) {
  at::Tensor score_GXS = at::bmm(in_every_segment(queries_XC, x_GSC.size(0)), x_GSC.transpose(1, 2));
  if (valid_GS.defined())
    score_GXS.masked_fill_(valid_GS.logical_not().unsqueeze(1), lowest_value(score_GXS.scalar_type()));
  return at::softmax(score_GXS, -1);
}

// The weights, and behind them the gradient of the scores: weight * (x . dmean - mean . dmean), what a token adds
// beyond the mean, which is the backward of softmax. [G, 2 X, S]
at::Tensor weights_and_score_gradients(const at::Tensor& weight_GXS, const at::Tensor& dweight_GXS) {
  if (!weight_GXS.is_cuda()) {
    return at::cat({weight_GXS, at::_softmax_backward_data(dweight_GXS, weight_GXS, -1, weight_GXS.scalar_type())}, 1);
  }
  at::Tensor joint_GYS =
      at::empty({weight_GXS.size(0), 2 * weight_GXS.size(1), weight_GXS.size(2)}, weight_GXS.options());
  cuda_kernels().score_gradients(weight_GXS, dweight_GXS, joint_GYS);
  return joint_GYS;
}

// The gradient of the means, and behind it the queries, in every segment. [G, 2 X, C]
at::Tensor means_and_queries(const at::Tensor& dmean_XGC, const at::Tensor& queries_XC) {
  const int64_t rows = dmean_XGC.size(0), segments = dmean_XGC.size(1), width = dmean_XGC.size(2);
  if (!dmean_XGC.is_cuda()) return at::cat({dmean_XGC.transpose(0, 1), in_every_segment(queries_XC, segments)}, 1);
  at::Tensor joint_GYC = at::empty({segments, 2 * rows, width}, dmean_XGC.options());
  cuda_kernels().join_rows(dmean_XGC.contiguous(), queries_XC.contiguous(), joint_GYC);
  return joint_GYC;
}

// Few and plain kernels: on a GPU these run beside large products on a few multiprocessors, where each pass over
// [G, X, S] takes ten times as long as alone.
class ReadSegments : public torch::autograd::Function<ReadSegments> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& queries_XC,
                            const std::optional<at::Tensor>& valid) {
    const at::Tensor x_GSC = x_in.contiguous(), valid_GS = valid.value_or(at::Tensor());
    const at::Tensor weight_GXS = weights_of(x_GSC, queries_XC, valid_GS);
    const at::Tensor mean_XGC = at::empty({queries_XC.size(0), x_GSC.size(0), x_GSC.size(2)}, x_GSC.options());
    at::Tensor mean_GXC = mean_XGC.transpose(0, 1);  // written where it is read
    at::bmm_out(mean_GXC, weight_GXS, x_GSC);
    ctx->save_for_backward({x_GSC, queries_XC, weight_GXS, valid_GS});
    return mean_XGC;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x_GSC = saved[0], &queries_XC = saved[1], &weight_GXS = saved[2];
    const auto narrow = x_GSC.scalar_type(), wide = accumulation_type(narrow);
    const at::Tensor dmean_GXC = grads[0].transpose(0, 1);
    const at::Tensor joint_GYS = weights_and_score_gradients(weight_GXS, at::bmm(dmean_GXC, x_GSC.transpose(1, 2)));
    at::Tensor dscore_GXS = joint_GYS.narrow(1, weight_GXS.size(1), weight_GXS.size(1));
    // A masked score is a constant, also where it has weight (a segment of padding).
    if (saved[3].defined()) dscore_GXS.masked_fill_(saved[3].logical_not().unsqueeze(1), 0);
    // By way of the means and of the scores, in one product: x is large, all else here is small.
    const at::Tensor dx_GSC = at::bmm(joint_GYS.transpose(1, 2), means_and_queries(grads[0], queries_XC));
    const at::Tensor dqueries_GXC = at::bmm(dscore_GXS, x_GSC);
    return {dx_GSC, dqueries_GXC.sum(0, /*keepdim=*/false, wide).to(narrow), at::Tensor()};
  }
};

}  // namespace

at::Tensor read_segments(const at::Tensor& x_GSC, const at::Tensor& queries_XC, const at::Tensor& valid_GS) {
  HICI_ASSERT(x_GSC.dim() == 3 && queries_XC.dim() == 2 && queries_XC.size(1) == x_GSC.size(2), "x ", x_GSC.sizes(),
              " queries ", queries_XC.sizes());
  return ReadSegments::apply(x_GSC, queries_XC, optional_tensor(valid_GS));
}

}  // namespace hici::ops
