// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/few_rows_linear.h"

#include "hici/device/kernel_table.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::ops {
namespace {

bool is_aligned(const at::Tensor& t) { return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0; }

bool is_supported(const at::Tensor& matrix, const at::Tensor& x) {
  return matrix.scalar_type() == x.scalar_type() && matrix.is_contiguous() && is_aligned(matrix);
}

// x A^T of every adapter next to each other, [rows, sum of ranks]; undefined without adapters.
at::Tensor first_factors(const at::Tensor& x_RC, const std::vector<LoraWeights>& layers) {
  std::vector<at::Tensor> parts;
  for (const LoraWeights& layer : layers)
    if (layer.a.defined()) parts.push_back(layer.a);
  if (parts.empty()) return {};
  const at::Tensor joint_a = parts.size() == 1 ? parts[0] : at::cat(parts, 0);
  at::Tensor low = at::empty({x_RC.size(0), joint_a.size(0)}, x_RC.options());
  device::cuda_kernels().few_rows_linears(x_RC, {joint_a}, {{}}, {{}}, {0.0}, {low});
  return low;
}

}  // namespace

bool few_rows_linears_support(const at::Tensor& x, const std::vector<LoraWeights>& layers) {
  constexpr int64_t kMostRows = 8, kMostLayers = 4, kColumns = 64;
  const bool is_16_bit = x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf;
  return x.is_cuda() && is_16_bit && x.size(-1) % kColumns == 0 && x.numel() <= kMostRows * x.size(-1) &&
         x.numel() > 0 && x.is_contiguous() && is_aligned(x) && layers.size() <= static_cast<size_t>(kMostLayers) &&
         std::all_of(layers.begin(), layers.end(), [&](const LoraWeights& layer) {
           return is_supported(layer.weight, x) &&
                  (!layer.a.defined() || (is_supported(layer.a, x) && is_supported(layer.b, x)));
         });
}

std::vector<at::Tensor> few_rows_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers) {
  const at::Tensor x_RC = x.reshape({-1, x.size(-1)}), low = first_factors(x_RC, layers);
  std::vector<at::Tensor> weights, lows, bs, outs;
  std::vector<double> scales;
  int64_t first_rank = 0;
  for (const LoraWeights& layer : layers) {
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = layer.weight.size(0);
    outs.push_back(at::empty(shape, x.options()));
    weights.push_back(layer.weight);
    bs.push_back(layer.b);
    scales.push_back(layer.scale);
    const int64_t rank = layer.a.defined() ? layer.a.size(0) : 0;
    lows.push_back(rank > 0 ? low.narrow(1, first_rank, rank) : at::Tensor());
    first_rank += rank;
  }
  device::cuda_kernels().few_rows_linears(x_RC, weights, lows, bs, scales, outs);
  return outs;
}

}  // namespace hici::ops
