// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rms_norm.h"

#include "hici/base/error.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The kernel keeps rstd in float32; float64 on a GPU takes the composite path.
bool has_kernel(const at::Tensor& x) { return x.is_cuda() && x.scalar_type() != at::kDouble; }

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, double eps) {
    const at::Tensor x = input.contiguous();
    at::Tensor y, rstd;
    if (has_kernel(x)) {
      y = at::empty_like(x);
      rstd = at::empty({x.numel() / x.size(-1)}, x.options().dtype(at::kFloat));
      cuda_kernels().rms_norm_forward(x, weight, eps, y, rstd);
    } else {
      const at::Tensor wide = x.to(accumulation_type(x.scalar_type()));
      rstd = at::mean(wide * wide, {-1}, /*keepdim=*/true).add_(eps).rsqrt_();
      y = (wide * rstd).to(x.scalar_type()).mul_(weight);
    }
    ctx->save_for_backward({x, weight, rstd});
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &rstd = saved[2];
    const at::Tensor dy = grads[0].contiguous();
    at::Tensor dx, dweight;
    if (has_kernel(x)) {
      dx = at::empty_like(x);
      dweight = at::empty({x.size(-1)}, x.options().dtype(at::kFloat));
      cuda_kernels().rms_norm_backward(dy, x, weight, rstd, dx, dweight);
    } else {
      // With n = x * rstd: dx = rstd * (g - n * mean(g * n)), g = dy * weight.
      const auto wide_type = accumulation_type(x.scalar_type());
      const at::Tensor normed = x.to(wide_type) * rstd;
      const at::Tensor dy_wide = dy.to(wide_type);
      dweight = (dy_wide * normed).view({-1, x.size(-1)}).sum(0);
      at::Tensor scaled = dy_wide * weight.to(wide_type);
      const at::Tensor along = at::mean(scaled * normed, {-1}, /*keepdim=*/true);
      dx = scaled.addcmul_(normed, along, -1).mul_(rstd).to(x.scalar_type());
    }
    return {dx, dweight.to(weight.scalar_type()), at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  HICI_ASSERT(weight.dim() == 1 && x.size(-1) == weight.size(0), "x ", x.sizes(), " weight ", weight.sizes());
  HICI_ASSERT(x.scalar_type() == weight.scalar_type(), "x ", x.scalar_type(), " weight ", weight.scalar_type());
  return RmsNorm::apply(x, weight, eps);
}

}  // namespace hici::ops
