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

at::Tensor empty_output(const at::Tensor& x, const at::Tensor& weight) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return at::empty(shape, x.options());
}

// x A^T of each adapter, [rows, rank]; undefined for a layer without one.
std::vector<at::Tensor> first_factors(const at::Tensor& x_RC, const std::vector<LoraWeights>& layers) {
  std::vector<at::Tensor> lows(layers.size()), factors, outs;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!layers[i].a.defined()) continue;
    lows[i] = empty_output(x_RC, layers[i].a);
    factors.push_back(layers[i].a);
    outs.push_back(lows[i]);
  }
  const std::vector<at::Tensor> none(factors.size());
  if (!factors.empty())
    device::cuda_kernels().few_rows_linears(x_RC, {}, factors, none, none, none, std::vector<double>(factors.size()),
                                            outs);
  return lows;
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
  const at::Tensor x_RC = x.reshape({-1, x.size(-1)});
  const std::vector<at::Tensor> lows = first_factors(x_RC, layers);
  const Fp8Rows rows = is_fp8(layers[0].weight) ? quantise_rows(x_RC, {}) : Fp8Rows{x_RC, {}};
  std::vector<at::Tensor> weights, channel_scales, bs, outs;
  std::vector<double> scales;
  for (const LoraWeights& layer : layers) {
    weights.push_back(layer.weight);
    channel_scales.push_back(layer.channel_scale);
    bs.push_back(layer.b);
    scales.push_back(layer.scale);
    outs.push_back(empty_output(x, layer.weight));
  }
  device::cuda_kernels().few_rows_linears(rows.rows_nI, rows.scale_n1, weights, channel_scales, lows, bs, scales, outs);
  return outs;
}

}  // namespace hici::ops
