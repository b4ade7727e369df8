// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/slot_statistics.h"

#include "hici/device/kernel_table.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kNormFloor = 1e-6, kDeviationFloor = 1e-6;

at::Tensor unit_norm(const at::Tensor& x) {
  return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, /*keepdim=*/true).clamp_min(kNormFloor);
}

// The five statistics of x [B, n, C] as one autograd node: x is small, so the number of operations is the cost.
class SlotStatistics : public torch::autograd::Function<SlotStatistics> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& slots_BnC) {
    ctx->saved_data["type"] = slots_BnC.scalar_type();
    if (!slots_BnC.is_cuda()) return forward_on_cpu(ctx, to_accumulation_dtype(slots_BnC));
    const at::Tensor x_BnC = slots_BnC.contiguous();
    at::Tensor out_B5C = at::empty({x_BnC.size(0), kNumStatistics, x_BnC.size(2)},
                                   x_BnC.options().dtype(accumulation_type(x_BnC.scalar_type())));
    device::cuda_kernels().slot_statistics(x_BnC, kNormFloor, kDeviationFloor, out_B5C);
    ctx->save_for_backward({x_BnC});
    return out_B5C;
  }

  // Below its floor a deviation, or the norm of the mean, is a constant. The gradient of an extreme goes to its row.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    if (!saved[0].is_cuda()) return {backward_on_cpu(saved, grads[0]).to(ctx->saved_data["type"].toScalarType())};
    at::Tensor dx_BnC = at::empty_like(saved[0]);
    device::cuda_kernels().slot_statistics_backward(grads[0].contiguous(), saved[0], kNormFloor, kDeviationFloor,
                                                    dx_BnC);
    return {dx_BnC};
  }

 private:
  static at::Tensor forward_on_cpu(AutogradContext* ctx, const at::Tensor& x_BnC) {
    const at::Tensor mean_B1C = x_BnC.mean(1, /*keepdim=*/true);
    const auto [max_BC, max_at_BC] = x_BnC.max(1);
    const auto [min_BC, min_at_BC] = x_BnC.min(1);
    const at::Tensor deviation_BC = (x_BnC - mean_B1C).square_().mean(1).sqrt_();
    const at::Tensor mean_BC = mean_B1C.squeeze(1), unit_BC = unit_norm(mean_BC);
    ctx->save_for_backward({x_BnC, mean_B1C, deviation_BC, unit_BC, max_at_BC, min_at_BC});
    return at::stack({mean_BC, max_BC, min_BC, deviation_BC.clamp_min(kDeviationFloor), unit_BC}, 1);
  }

  static at::Tensor backward_on_cpu(const variable_list& saved, const at::Tensor& grad_B5C) {
    const at::Tensor &x_BnC = saved[0], &mean_B1C = saved[1], &deviation_BC = saved[2], &unit_BC = saved[3];
    const std::vector<at::Tensor> by = grad_B5C.unbind(1);
    const auto count = static_cast<double>(x_BnC.size(1));
    const at::Tensor norm_B1 = at::linalg_vector_norm(mean_B1C.squeeze(1), 2, at::IntArrayRef{-1}, /*keepdim=*/true);
    const at::Tensor along_B1 = (by[4] * unit_BC).sum(-1, /*keepdim=*/true).mul_(norm_B1.ge(kNormFloor));
    const at::Tensor dmean_BC = by[0] + (by[4] - unit_BC * along_B1) / norm_B1.clamp_min(kNormFloor);
    const at::Tensor slope_BC =
        (by[3] / deviation_BC.clamp_min(kDeviationFloor)).mul_(deviation_BC.ge(kDeviationFloor));
    at::Tensor dx_BnC = (x_BnC - mean_B1C).mul_(slope_BC.unsqueeze(1)).add_(dmean_BC.unsqueeze(1)).div_(count);
    dx_BnC.scatter_add_(1, saved[4].unsqueeze(1), by[1].unsqueeze(1));
    dx_BnC.scatter_add_(1, saved[5].unsqueeze(1), by[2].unsqueeze(1));
    return dx_BnC;
  }
};

}  // namespace

at::Tensor to_accumulation_dtype(const at::Tensor& slots) { return slots.to(accumulation_type(slots.scalar_type())); }

at::Tensor statistics_of_all(const at::Tensor& slots_BNMC) { return SlotStatistics::apply(slots_BNMC.flatten(1, 2)); }

at::Tensor statistics_up_to_each(const at::Tensor& slots_BNMC) {
  const at::Tensor slots = to_accumulation_dtype(slots_BNMC);
  const int64_t segments = slots.size(1), per_segment = slots.size(2);
  const at::Tensor count = at::arange(1, segments + 1, slots.options()).mul_(per_segment).view({1, -1, 1});
  return statistics_of_sums(
      {slots.sum(2).cumsum(1), slots.pow(2).sum(2).cumsum(1), std::get<0>(std::get<0>(slots.max(2)).cummax(1)),
       std::get<0>(std::get<0>(slots.min(2)).cummin(1))},
      count);
}

at::Tensor statistics_of_sums(const SlotSums& sums, const at::Tensor& count) {
  const at::Tensor mean = sums.total / count;
  const at::Tensor variance = (sums.squares / count - mean.pow(2)).clamp_min(1e-12);
  return at::stack({mean, sums.max, sums.min, variance.sqrt(), unit_norm(mean)}, -2);
}

}  // namespace hici::ops
