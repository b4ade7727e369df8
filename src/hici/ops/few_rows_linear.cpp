// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/few_rows_linear.h"

#include "hici/device/kernel_table.h"
#include "hici/ops/fp8.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::ops {
namespace {

bool is_aligned(const at::Tensor& t) { return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0; }

// A contiguous matrix of this type.
bool is_matrix(const at::Tensor& matrix, at::ScalarType type) {
  return matrix.scalar_type() == type && matrix.is_contiguous() && is_aligned(matrix);
}

bool is_supported(const LoraWeights& layer, at::ScalarType x_type, bool are_fp8) {
  const bool has_adapter = layer.a.defined();
  return is_matrix(layer.weight, are_fp8 ? at::kFloat8_e4m3fn : x_type) &&
         (!has_adapter || (is_matrix(layer.a, x_type) && is_matrix(layer.b, x_type)));
}

// x A^T of every adapter next to each other, [rows, sum of ranks]; undefined without adapters.
at::Tensor first_factors(const at::Tensor& x_RC, const std::vector<LoraWeights>& layers) {
  std::vector<at::Tensor> parts;
  for (const LoraWeights& layer : layers)
    if (layer.a.defined()) parts.push_back(layer.a);
  if (parts.empty()) return {};
  const at::Tensor joint_a = parts.size() == 1 ? parts[0] : at::cat(parts, 0);
  at::Tensor low = at::empty({x_RC.size(0), joint_a.size(0)}, x_RC.options());
  const std::vector<at::Tensor> none(1);
  device::cuda_kernels().few_rows_linears(x_RC, {}, {joint_a}, none, none, none, {0.0}, {low});
  return low;
}

}  // namespace

bool few_rows_linears_support(const at::Tensor& x, const std::vector<LoraWeights>& layers) {
  constexpr int64_t kMostRows = 8, kBytes = 128;
  constexpr size_t kMostLayers = 4;
  const auto type = x.scalar_type();
  const bool is_16_bit = type == at::kBFloat16 || type == at::kHalf, are_fp8 = is_fp8(layers[0].weight);
  const int64_t columns = are_fp8 ? kBytes : kBytes / 2;
  return x.is_cuda() && is_16_bit && x.size(-1) % columns == 0 && x.numel() > 0 &&
         x.numel() <= kMostRows * x.size(-1) && x.is_contiguous() && is_aligned(x) && layers.size() <= kMostLayers &&
         std::all_of(layers.begin(), layers.end(),
                     [&](const LoraWeights& layer) { return is_supported(layer, type, are_fp8); });
}

std::vector<at::Tensor> few_rows_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers) {
  const at::Tensor x_RC = x.reshape({-1, x.size(-1)}), low = first_factors(x_RC, layers);
  const bool are_fp8 = is_fp8(layers[0].weight);
  const Fp8Rows rows = are_fp8 ? quantise_rows(x_RC, {}) : Fp8Rows{x_RC, {}};
  std::vector<at::Tensor> weights, channel_scales, lows, bs, outs;
  std::vector<double> scales;
  int64_t first_rank = 0;
  for (const LoraWeights& layer : layers) {
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = layer.weight.size(0);
    outs.push_back(at::empty(shape, x.options()));
    weights.push_back(layer.weight);
    channel_scales.push_back(layer.channel_scale);
    bs.push_back(layer.b);
    scales.push_back(layer.scale);
    const int64_t rank = layer.a.defined() ? layer.a.size(0) : 0;
    lows.push_back(rank > 0 ? low.narrow(1, first_rank, rank) : at::Tensor());
    first_rank += rank;
  }
  device::cuda_kernels().few_rows_linears(rows.rows_nI, rows.scale_n1, weights, channel_scales, lows, bs, scales, outs);
  return outs;
}

}  // namespace hici::ops
