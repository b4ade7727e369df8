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
at::Tensor in_every_segment(const at::Tensor& queries_XC, const at::Tensor& x_GSC) {
  return queries_XC.expand({x_GSC.size(0), -1, -1});
}

// In the type of x: softmax computes in float32 or better whatever its type.
at::Tensor weights_of(const at::Tensor& x_GSC, const at::Tensor& queries_XC, const at::Tensor& valid_GS) {
  at::Tensor score_GXS = at::bmm(in_every_segment(queries_XC, x_GSC), x_GSC.transpose(1, 2));
  if (valid_GS.defined())
    score_GXS.masked_fill_(valid_GS.logical_not().unsqueeze(1), lowest_value(score_GXS.scalar_type()));
  return at::softmax(score_GXS, -1);
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

  // The gradient of a score is weight * (x . dmean - mean . dmean), what a token adds beyond the mean: that of softmax.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x_GSC = saved[0], &queries_XC = saved[1], &weight_GXS = saved[2];
    const auto narrow = x_GSC.scalar_type(), wide = accumulation_type(narrow);
    const at::Tensor dmean_GXC = grads[0].transpose(0, 1);
    at::Tensor dscore_GXS =
        at::_softmax_backward_data(at::bmm(dmean_GXC, x_GSC.transpose(1, 2)), weight_GXS, -1, narrow);
    // A masked score is a constant, also where it has weight (a segment of padding).
    if (saved[3].defined()) dscore_GXS.masked_fill_(saved[3].logical_not().unsqueeze(1), 0);
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
