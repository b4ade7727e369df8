// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rms_norm.h"

#include "hici/base/error.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/optional_tensor.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The kernel keeps rstd in float32; float64 on a GPU takes the composite path.
bool has_kernel(const at::Tensor& x) { return x.is_cuda() && x.scalar_type() != at::kDouble; }

struct Forward {
  at::Tensor sum, normed, rstd;
};

Forward run_forward(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps) {
  if (has_kernel(x)) {
    Forward out{delta.defined() ? at::empty_like(x) : x, at::empty_like(x),
                at::empty({x.numel() / x.size(-1)}, x.options().dtype(at::kFloat))};
    cuda_kernels().rms_norm_forward(x, delta, weight, eps, out.sum, out.normed, out.rstd);
    return out;
  }
  Forward out;
  out.sum = delta.defined() ? x + delta : x;
  const at::Tensor wide = out.sum.to(accumulation_type(x.scalar_type()));
  out.rstd = at::mean(wide * wide, {-1}, /*keepdim=*/true).add_(eps).rsqrt_();
  out.normed = (wide * out.rstd).to(x.scalar_type()).mul_(weight);
  return out;
}

struct Gradients {
  at::Tensor dx, dweight;
};

// `dbeside` and `dsum` may be undefined: nobody read the result beside, or nothing but the norm the sum.
Gradients run_backward(const at::Tensor& dnormed, const at::Tensor& dbeside, const at::Tensor& dsum,
                       const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd) {
  if (has_kernel(x)) {
    Gradients out{at::empty_like(x), at::empty({x.size(-1)}, x.options().dtype(at::kFloat))};
    cuda_kernels().rms_norm_backward(dnormed, dbeside, dsum, x, weight, rstd, out.dx, out.dweight);
    return out;
  }
  // With n = x * rstd: dx = rstd * (g - n * mean(g * n)), g = (dnormed + dbeside) * weight. The two are never added up
  // in a tensor of their own: this is where a layer's backward holds the most.
  const auto wide = accumulation_type(x.scalar_type());
  const at::Tensor normed = x.to(wide) * rstd, wide_weight = weight.to(wide);
  const auto by_column = [&](const at::Tensor& d) { return (d.to(wide) * normed).view({-1, x.size(-1)}).sum(0); };
  at::Tensor dweight = by_column(dnormed), scaled = dnormed.to(wide) * wide_weight;
  if (dbeside.defined()) {
    dweight.add_(by_column(dbeside));
    scaled.addcmul_(dbeside.to(wide), wide_weight);
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
    // Whoever reads one of the two results may read the one beside alone.
    const at::Tensor &dnormed = grads[1].defined() ? grads[1] : grads[2],
                     &dbeside = grads[1].defined() ? grads[2] : grads[1];
    const Gradients out =
        run_backward(packed(dnormed), packed(dbeside), packed(grads[0]), saved[0], saved[1], saved[2]);
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
    const Gradients out = run_backward(grads[0].contiguous(), {}, {}, saved[0], saved[1], saved[2]);
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
