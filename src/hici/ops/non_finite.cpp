// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/non_finite.h"

#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace hici::ops {
namespace {

// Threads that share a piece of a file cost more than they save.
constexpr int64_t kSmallCount = int64_t{1} << 17;

bool are_finite(const float* values, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000;  // all ones in nan and infinity alone
  uint32_t is_bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i]);
    is_bad |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return is_bad == 0;
}

}  // namespace

at::Tensor rows_are_finite(const at::Tensor& t_BX) {
  const at::Tensor sum_B = t_BX.sum(-1, /*keepdim=*/false, accumulation_type(t_BX.scalar_type()));
  return (sum_B - sum_B).eq(0);  // nan - nan and inf - inf are nan
}

std::string first_non_finite(const at::Tensor& t) {
  const at::NoGradGuard no_grad;
  if (!t.is_floating_point() || t.numel() == 0) return "";
  const bool is_small = t.scalar_type() == at::kFloat && t.is_cpu() && t.is_contiguous() && t.numel() <= kSmallCount;
  if (is_small && are_finite(t.const_data_ptr<float>(), t.numel())) return "";
  // 8 bits have no sums of their own.
  const at::Tensor values = t.element_size() == 1 ? t.to(at::kFloat) : t;
  const at::ScalarType sum_type = accumulation_type(values.scalar_type());
  if (std::isfinite(values.sum(sum_type).item<double>())) return "";
  const at::Tensor flat = values.flatten();
  const at::Tensor is_bad = flat.isfinite().logical_not();
  if (!is_bad.any().item<bool>()) return "";  // only their sum was too large
  const double value = flat[is_bad.to(at::kByte).argmax().item<int64_t>()].item<double>();
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

}  // namespace hici::ops
