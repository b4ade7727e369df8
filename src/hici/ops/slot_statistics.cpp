// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/slot_statistics.h"

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

constexpr double kNormFloor = 1e-6, kDeviationFloor = 1e-6, kVarianceFloor = 1e-12;
constexpr int64_t kNumSums = 4;

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

// The same three on the GPU. Their operands are a few dozen rows: what a step pays for them is the number of kernels.
class SumsOfSlots : public torch::autograd::Function<SumsOfSlots> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& slots_GMC) {
    const at::Tensor x_GMC = slots_GMC.contiguous();
    at::Tensor out_G4C = at::empty({x_GMC.size(0), kNumSums, x_GMC.size(2)},
                                   x_GMC.options().dtype(accumulation_type(x_GMC.scalar_type())));
    device::cuda_kernels().slot_sums(x_GMC, out_G4C);
    ctx->save_for_backward({x_GMC});
    return out_G4C;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor x_GMC = ctx->get_saved_variables()[0];
    at::Tensor dx_GMC = at::empty_like(x_GMC);
    device::cuda_kernels().slot_sums_backward(grads[0].contiguous(), x_GMC, dx_GMC);
    return {dx_GMC};
  }
};

// `row` of the sums and the last of them, or where row is negative all but row 0.
class RunningSumsOnGpu : public torch::autograd::Function<RunningSumsOnGpu> {
 public:
  static variable_list forward(AutogradContext* ctx, const std::optional<at::Tensor>& before_B4C,
                               const at::Tensor& sums_Bn4C, int64_t row) {
    const at::Tensor before = before_B4C ? before_B4C->contiguous() : at::Tensor(), sums = sums_Bn4C.contiguous();
    ctx->saved_data["row"] = row;
    ctx->save_for_backward({before, sums});
    ctx->set_materialize_grads(false);
    if (row < 0) {
      const at::Tensor each = at::empty_like(sums);
      device::cuda_kernels().running_sums(before, sums, row, each, {}, {});
      return {each};
    }
    const std::vector<int64_t> shape{sums.size(0), kNumSums, sums.size(3)};
    const at::Tensor own = at::empty(shape, sums.options()), last = at::empty(shape, sums.options());
    device::cuda_kernels().running_sums(before, sums, row, {}, own, last);
    return {own, last};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &before = saved[0], &sums = saved[1];
    const int64_t row = ctx->saved_data["row"].toInt();
    auto gradient = [&](size_t i) {
      return i < grads.size() && grads[i].defined() ? grads[i].contiguous() : at::Tensor();
    };
    const at::Tensor dbefore = before.defined() ? at::empty_like(before) : at::Tensor(), dsums = at::empty_like(sums);
    if (row < 0) {
      device::cuda_kernels().running_sums_backward(before, sums, row, gradient(0), {}, {}, dbefore, dsums);
    } else {
      device::cuda_kernels().running_sums_backward(before, sums, row, {}, gradient(0), gradient(1), dbefore, dsums);
    }
    return {dbefore, dsums, {}};
  }
};

class StatisticsOfSums : public torch::autograd::Function<StatisticsOfSums> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& sums_R4C, const SlotCounts& counts) {
    const at::Tensor sums = sums_R4C.contiguous();
    at::Tensor out_R5C = at::empty({sums.size(0), kNumStatistics, sums.size(2)}, sums.options());
    device::cuda_kernels().sum_statistics(sums, counts.first, counts.step, counts.period, kNormFloor, kVarianceFloor,
                                          out_R5C);
    ctx->saved_data["counts"] = std::vector<int64_t>{counts.first, counts.step, counts.period};
    ctx->save_for_backward({sums});
    return out_R5C;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor sums = ctx->get_saved_variables()[0];
    const std::vector<int64_t> counts = ctx->saved_data["counts"].toIntVector();
    at::Tensor dsums_R4C = at::empty_like(sums);
    device::cuda_kernels().sum_statistics_backward(grads[0].contiguous(), sums, counts[0], counts[1], counts[2],
                                                   kNormFloor, kVarianceFloor, dsums_R4C);
    return {dsums_R4C, {}};
  }
};

// [B, n, 4, C] -> [B, n, 4, C], by LibTorch's operations.
at::Tensor cumulative(const at::Tensor& sums_Bn4C) {
  return at::cat({sums_Bn4C.narrow(2, 0, 2).cumsum(1), std::get<0>(sums_Bn4C.narrow(2, 2, 1).cummax(1)),
                  std::get<0>(sums_Bn4C.narrow(2, 3, 1).cummin(1))},
                 2);
}

at::Tensor running_sums_after_each(const at::Tensor& sums_Bn4C) {
  return sums_Bn4C.is_cuda() ? RunningSumsOnGpu::apply(std::nullopt, sums_Bn4C, -1)[0] : cumulative(sums_Bn4C);
}

}  // namespace

at::Tensor to_accumulation_dtype(const at::Tensor& slots) { return slots.to(accumulation_type(slots.scalar_type())); }

at::Tensor statistics_of_all(const at::Tensor& slots_BNMC) { return SlotStatistics::apply(slots_BNMC.flatten(1, 2)); }

at::Tensor statistics_up_to_each(const at::Tensor& slots_BNMC) {
  const int64_t segments = slots_BNMC.size(1), per_segment = slots_BNMC.size(2);
  const at::Tensor sums_Bn4C = sums_of_slots(slots_BNMC.flatten(0, 1)).unflatten(0, {-1, segments});
  return statistics_of_sums(running_sums_after_each(sums_Bn4C).flatten(0, 1), {per_segment, per_segment, segments})
      .unflatten(0, {-1, segments});
}

at::Tensor sums_of_slots(const at::Tensor& slots_GMC) {
  if (slots_GMC.is_cuda()) return SumsOfSlots::apply(slots_GMC);
  const at::Tensor slots = to_accumulation_dtype(slots_GMC);
  return at::stack({slots.sum(1), slots.pow(2).sum(1), std::get<0>(slots.max(1)), std::get<0>(slots.min(1))}, 1);
}

RunningSums running_sums(const at::Tensor& before_B4C, const at::Tensor& sums_Bn4C, int64_t row) {
  HICI_ASSERT(row >= 0 && row <= sums_Bn4C.size(1), "row ", row, " of ", sums_Bn4C.sizes());
  if (sums_Bn4C.is_cuda()) {
    const variable_list rows = RunningSumsOnGpu::apply(before_B4C, sums_Bn4C, row);
    return {rows[0], rows[1]};
  }
  const at::Tensor all = cumulative(at::cat({before_B4C.unsqueeze(1), sums_Bn4C}, 1));
  return {all.select(1, row), all.select(1, sums_Bn4C.size(1))};
}

at::Tensor statistics_of_sums(const at::Tensor& sums_R4C, const SlotCounts& counts) {
  if (sums_R4C.is_cuda()) return StatisticsOfSums::apply(sums_R4C, counts);
  const std::vector<at::Tensor> sums = sums_R4C.unbind(1);
  const at::Tensor count = at::arange(counts.period, sums_R4C.options())
                               .mul_(static_cast<double>(counts.step))
                               .add_(static_cast<double>(counts.first))
                               .repeat({sums_R4C.size(0) / counts.period})
                               .unsqueeze(1);
  const at::Tensor mean = sums[0] / count;
  const at::Tensor variance = (sums[1] / count - mean.pow(2)).clamp_min(kVarianceFloor);
  return at::stack({mean, sums[2], sums[3], variance.sqrt(), unit_norm(mean)}, 1);
}

}  // namespace hici::ops
