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

// The same queries for every segment, a view. With segments outermost nothing that follows has to be reordered.
at::Tensor in_every_segment(const at::Tensor& queries_XC, const at::Tensor& x_GSC) {
  return queries_XC.expand({x_GSC.size(0), -1, -1});
}

at::Tensor weights_of(const at::Tensor& x_GSC, const at::Tensor& queries_XC, const at::Tensor& valid_GS) {
  const auto wide = accumulation_type(x_GSC.scalar_type());
  at::Tensor score_GXS = at::bmm(in_every_segment(queries_XC, x_GSC), x_GSC.transpose(1, 2)).to(wide);
  if (valid_GS.defined()) score_GXS.masked_fill_(valid_GS.logical_not().unsqueeze(1), lowest_value(wide));
  return at::softmax(score_GXS, -1).to(x_GSC.scalar_type());
}

class ReadSegments : public torch::autograd::Function<ReadSegments> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& queries_XC,
                            const std::optional<at::Tensor>& valid) {
    const at::Tensor x_GSC = x_in.contiguous(), valid_GS = valid.value_or(at::Tensor());
    const at::Tensor weight_GXS = weights_of(x_GSC, queries_XC, valid_GS);
    const at::Tensor mean_GXC = at::bmm(weight_GXS, x_GSC);
    ctx->save_for_backward({x_GSC, queries_XC, weight_GXS, mean_GXC, valid_GS});
    return mean_GXC.transpose(0, 1).contiguous();
  }

  // The gradient of a score is weight * (x . dmean - mean . dmean): what a token adds beyond the mean.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x_GSC = saved[0], &queries_XC = saved[1], &weight_GXS = saved[2], &mean_GXC = saved[3];
    const auto narrow = x_GSC.scalar_type(), wide = accumulation_type(narrow);
    const at::Tensor dmean_GXC = grads[0].transpose(0, 1).contiguous();
    const at::Tensor along_GX1 = (dmean_GXC.to(wide) * mean_GXC.to(wide)).sum(-1, /*keepdim=*/true);
    at::Tensor dscore_wide = at::bmm(dmean_GXC, x_GSC.transpose(1, 2)).to(wide).sub_(along_GX1).mul_(weight_GXS);
    // A masked score is a constant, also where it has weight (a segment of padding).
    if (saved[4].defined()) dscore_wide.masked_fill_(saved[4].logical_not().unsqueeze(1), 0);
    const at::Tensor dscore_GXS = dscore_wide.to(narrow);
    // By way of the means and of the scores, in one product: x is large, all else here is small.
    const at::Tensor dx_GSC = at::bmm(at::cat({weight_GXS, dscore_GXS}, 1).transpose(1, 2),
                                      at::cat({dmean_GXC, in_every_segment(queries_XC, x_GSC)}, 1));
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
