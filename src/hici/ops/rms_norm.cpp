// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rms_norm.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/optional_tensor.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The kernel keeps rstd in float32; float64 on a GPU takes the composite path.
struct Forward {
  at::Tensor sum, normed, rstd;
};

Forward run_forward(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
  if (has_kernel(x)) {
    Forward out{delta.defined() ? at::empty_like(x) : x, at::empty_like(x),
                at::empty({x.numel() / x.size(-1)}, x.options().dtype(at::kFloat))};
    device::cuda_kernels().rms_norm_forward(x, delta, weight, eps, out.sum, out.normed, out.rstd);
    return out;
  }
  Forward out;
  out.sum = delta.defined() ? x + delta : x;
  const at::Tensor x_accum = out.sum.to(accumulation_type(x.scalar_type()));
  out.rstd = at::mean(x_accum * x_accum, {-1}, /*keepdim=*/true).add_(eps).rsqrt_();
  out.normed = (x_accum * out.rstd).to(x.scalar_type()).mul_(weight);
  return out;
}

struct NormGradients {
  at::Tensor dx, dweight;
};

// dx = d rms_norm(dnormed + dnormed2) + dsum. `dnormed2` and `dsum` may be undefined: the alias, or the sum, has no
// consumer.
NormGradients run_backward(const at::Tensor& dnormed, const at::Tensor& dnormed2, const at::Tensor& dsum,
                           const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd) {
  if (has_kernel(x)) {
    NormGradients out{at::empty_like(x), at::empty({x.size(-1)}, x.options().dtype(at::kFloat))};
    device::cuda_kernels().rms_norm_backward(dnormed, dnormed2, dsum, x, weight, rstd, out.dx, out.dweight);
    return out;
  }
  // With n = x * rstd: dx = rstd * (g - n * mean(g * n)), g = (dnormed + dnormed2) * weight. The sum of the
  // two is never a tensor of its own: this is the memory peak of a layer's backward.
  const auto accumulation_dtype = accumulation_type(x.scalar_type());
  const at::Tensor normed = x.to(accumulation_dtype) * rstd, weight_accum = weight.to(accumulation_dtype);
  const auto by_column = [&](const at::Tensor& d) {
    return (d.to(accumulation_dtype) * normed).view({-1, x.size(-1)}).sum(0);
  };
  at::Tensor dweight = by_column(dnormed), scaled = dnormed.to(accumulation_dtype) * weight_accum;
  if (dnormed2.defined()) {
    dweight.add_(by_column(dnormed2));
    scaled.addcmul_(dnormed2.to(accumulation_dtype), weight_accum);
  }
  const at::Tensor along = at::mean(scaled * normed, {-1}, /*keepdim=*/true);
  at::Tensor dx = scaled.addcmul_(normed, along, -1).mul_(rstd);
  if (dsum.defined()) dx.add_(dsum);
  return {dx.to(x.scalar_type()), dweight};
}

class AddRmsNorm : public torch::autograd::Function<AddRmsNorm> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& input, const std::optional<at::Tensor>& delta,
                               const at::Tensor& weight, double eps) {
    const at::Tensor x = input.contiguous();
    const Forward out = run_forward(x, delta ? delta->contiguous() : at::Tensor(), weight, eps);
    ctx->save_for_backward({out.sum, weight, out.rstd});
    ctx->saved_data["has_delta"] = delta.has_value();
    return {out.sum.is_same(input) ? input : out.sum, out.normed, out.normed.detach()};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto packed = [](const at::Tensor& t) { return t.defined() ? t.contiguous() : t; };
    // A consumer may use the alias only.
    const at::Tensor &dnormed = grads[1].defined() ? grads[1] : grads[2],
                     &dnormed2 = grads[1].defined() ? grads[2] : grads[1];
    const NormGradients out =
        run_backward(packed(dnormed), packed(dnormed2), packed(grads[0]), saved[0], saved[1], saved[2]);
    const at::Tensor ddelta = ctx->saved_data["has_delta"].toBool() ? out.dx : at::Tensor();
    return {out.dx, ddelta, out.dweight.to(saved[1].scalar_type()), at::Tensor()};
  }
};

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, double eps) {
    const at::Tensor x = input.contiguous();
    const Forward out = run_forward(x, {}, weight, eps);
    ctx->save_for_backward({x, weight, out.rstd});
    return out.normed;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const NormGradients out = run_backward(grads[0].contiguous(), {}, {}, saved[0], saved[1], saved[2]);
    return {out.dx, out.dweight.to(saved[1].scalar_type()), at::Tensor()};
  }
};

void check_arguments(const at::Tensor& x, const at::Tensor& weight) {
  HICI_ASSERT(weight.dim() == 1 && x.size(-1) == weight.size(0), "x ", x.sizes(), " weight ", weight.sizes());
  HICI_ASSERT(x.scalar_type() == weight.scalar_type(), "x ", x.scalar_type(), " weight ", weight.scalar_type());
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  check_arguments(x, weight);
  return RmsNorm::apply(x, weight, eps);
}

NormedSum add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
  check_arguments(x, weight);
  HICI_ASSERT(!delta.defined() || (delta.sizes() == x.sizes() && delta.scalar_type() == x.scalar_type()), "x ",
              x.sizes(), " delta ", delta.defined() ? delta.sizes() : at::IntArrayRef());
  const variable_list out = AddRmsNorm::apply(x, optional_tensor(delta), weight, eps);
  return {out[0], out[1], out[2]};
}

}  // namespace hici::ops
