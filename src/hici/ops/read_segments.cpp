// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/read_segments.h"

#include "hici/base/error.h"
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
  return type == at::kDouble ? std::numeric_limits<double>::lowest()
                             : static_cast<double>(std::numeric_limits<float>::lowest());
}

// Queries first, so that scores are one product over all tokens.
at::Tensor weights_of(const at::Tensor& x_GSC, const at::Tensor& queries_XC, const at::Tensor& valid_GS) {
  const auto wide = accumulation_type(x_GSC.scalar_type());
  const at::Tensor score_XT = at::mm(queries_XC, x_GSC.flatten(0, 1).t());
  at::Tensor score_XGS = score_XT.view({queries_XC.size(0), x_GSC.size(0), x_GSC.size(1)}).to(wide);
  if (valid_GS.defined()) score_XGS.masked_fill_(valid_GS.logical_not(), lowest_value(wide));
  return at::softmax(score_XGS, -1).to(x_GSC.scalar_type());
}

class ReadSegments : public torch::autograd::Function<ReadSegments> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& queries_XC,
                            const std::optional<at::Tensor>& valid) {
    const at::Tensor x_GSC = x_in.contiguous(), valid_GS = valid.value_or(at::Tensor());
    const at::Tensor weight_XGS = weights_of(x_GSC, queries_XC, valid_GS);
    const at::Tensor mean_XGC = at::bmm(weight_XGS.transpose(0, 1), x_GSC).transpose(0, 1).contiguous();
    ctx->save_for_backward({x_GSC, queries_XC, weight_XGS, mean_XGC, valid_GS});
    return mean_XGC;
  }

  // The gradient of a score is weight * (x . dmean - mean . dmean): what a token adds beyond the mean.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x_GSC = saved[0], &queries_XC = saved[1], &weight_XGS = saved[2], &mean_XGC = saved[3];
    const auto wide = accumulation_type(x_GSC.scalar_type());
    const at::Tensor dmean_GXC = grads[0].transpose(0, 1).contiguous();
    const at::Tensor along_XG1 = (grads[0].to(wide) * mean_XGC.to(wide)).sum(-1, /*keepdim=*/true);
    at::Tensor dscore_XGS = at::bmm(dmean_GXC, x_GSC.transpose(1, 2)).transpose(0, 1).to(wide) - along_XG1;
    dscore_XGS.mul_(weight_XGS);
    // A masked score is a constant, also where it has weight (a segment of padding).
    if (saved[4].defined()) dscore_XGS.masked_fill_(saved[4].logical_not(), 0);
    const at::Tensor dscore_XT = dscore_XGS.to(x_GSC.scalar_type()).reshape({queries_XC.size(0), -1});
    at::Tensor dx_GSC = at::mm(dscore_XT.t(), queries_XC).view_as(x_GSC);  // by way of the scores
    dx_GSC.baddbmm_(weight_XGS.permute({1, 2, 0}), dmean_GXC);             // and of the means
    return {dx_GSC, at::mm(dscore_XT, x_GSC.flatten(0, 1)), at::Tensor()};
  }
};

}  // namespace

at::Tensor read_segments(const at::Tensor& x_GSC, const at::Tensor& queries_XC, const at::Tensor& valid_GS) {
  HICI_ASSERT(x_GSC.dim() == 3 && queries_XC.dim() == 2 && queries_XC.size(1) == x_GSC.size(2), "x ", x_GSC.sizes(),
              " queries ", queries_XC.sizes());
  return ReadSegments::apply(x_GSC, queries_XC, optional_tensor(valid_GS));
}

}  // namespace hici::ops
