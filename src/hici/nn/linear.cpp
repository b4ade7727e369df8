// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/linear.h"

#include "hici/base/error.h"
#include "hici/device/profile.h"
#include "hici/nn/dropout.h"
#include "hici/ops/fp8.h"
#include "hici/ops/nf4.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace hici::nn {

Linear::Linear(int64_t out, int64_t in, const ParameterOptions& options) : weight(meta_parameter({out, in}, options)) {}

void Linear::add_lora(const config::LoraModule& lora) {
  HICI_ASSERT(!has_lora(), "a second adapter on one layer");
  lora_a = at::empty({lora.rank, weight.size(1)}, weight.options());
  lora_b = at::empty({weight.size(0), lora.rank}, weight.options());
  if (lora.has_bias) lora_bias = at::empty({weight.size(0)}, weight.options());
  lora_scale = lora.scale;
}

void Linear::quantise(config::BaseFormat format, bool has_backward) {
  if (format == config::BaseFormat::kModel) return;
  HICI_ASSERT(!weight.requires_grad() && !is_quantised(), "a weight that is trained, or quantised already");
  if (config::is_nf4(format)) {
    ops::Nf4Matrix matrix = ops::quantise_nf4(weight, format == config::BaseFormat::kNf4Double);
    weight = std::move(matrix.weight);
    block_scale = std::move(matrix.block_scale);
    scale_groups = std::move(matrix.scale_groups);
    return;
  }
  ops::Fp8Matrix matrix = ops::quantise_matrix(weight, has_backward);
  weight = std::move(matrix.weight);
  transposed = std::move(matrix.transposed);
  channel_scale = std::move(matrix.scale);
}

int64_t Linear::num_weights() const { return weight.numel() * (block_scale.defined() ? 2 : 1); }

std::vector<int64_t> frozen_bytes(config::BaseFormat format, int64_t out, int64_t in, int64_t element, int64_t scale) {
  const int64_t blocks = out * in / ops::kNf4Block, groups = (blocks + ops::kNf4ScaleGroup - 1) / ops::kNf4ScaleGroup;
  switch (format) {
    case config::BaseFormat::kModel:
      return {out * in * element};
    case config::BaseFormat::kFp8:
      return {out * in, out * in, out * scale};  // with the transpose
    case config::BaseFormat::kNf4:
      return {out * in / 2, blocks * 4, 0};
    case config::BaseFormat::kNf4Double:
      return {out * in / 2, blocks, (1 + ops::kNf4ScaleCodes + groups) * 4};
  }
  return {};
}

ops::LoraWeights Linear::weights() const {
  return {weight, lora_a, lora_b, lora_scale, transposed, channel_scale, dropout_key, block_scale, scale_groups};
}

at::Tensor Linear::forward(const at::Tensor& x) const { return forward_jointly(x, {this})[0]; }

std::vector<at::Tensor> Linear::forward_jointly(const at::Tensor& x, const std::vector<const Linear*>& layers,
                                                const ops::LinearLayout& layout) {
  std::vector<ops::LoraWeights> weights;
  for (const Linear* layer : layers) weights.push_back(layer->weights());
  const bool has_lora = std::any_of(layers.begin(), layers.end(), [](const Linear* each) { return each->has_lora(); });
  const ops::AdapterDropout dropout =
      has_lora ? DropoutScope::current().of_rows(x.numel() / x.size(-1), x.device()) : ops::AdapterDropout{};
  std::vector<at::Tensor> outputs = device::profiled(
      device::Part::kLinear, [&](const at::Tensor& in) { return ops::lora_linears(in, weights, layout, dropout); }, x);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!layers[i]->lora_bias.defined()) continue;
    HICI_ASSERT(!at::GradMode::is_enabled(), "the bias of an adapter has no backward pass");
    outputs[i].add_(layers[i]->lora_bias, layers[i]->lora_scale);
  }
  return outputs;
}

at::Tensor Linear::effective_weight() const {
  HICI_ASSERT(!is_quantised(), "a quantised weight");
  return has_lora() ? at::add(weight, at::matmul(lora_b, lora_a), lora_scale) : weight;
}

void Linear::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  visit(prefix + ".weight", weight);
  if (!has_lora()) return;
  visit(prefix + ".lora_A.weight", lora_a);
  visit(prefix + ".lora_B.weight", lora_b);
  if (lora_bias.defined()) visit(prefix + ".lora_B.bias", lora_bias);
}

void visit_linears(const NamedLinears& linears, const std::string& prefix, const ParameterVisitor& visit) {
  for (const auto& [name, linear] : linears) linear->visit_parameters(prefix + "." + name, visit);
}

void adapt_linears(const NamedLinears& linears, const std::string& prefix, const config::LoraConfig& lora) {
  for (const auto& [name, linear] : linears)
    if (const auto module = lora.module(prefix + "." + name)) {
      linear->add_lora(*module);
      linear->dropout_key = ops::dropout_key_of_name(prefix + "." + name);
    }
}

LayerNorm::LayerNorm(int64_t width, const ParameterOptions& options)
    : weight(meta_parameter({width}, options)), bias(meta_parameter({width}, options)) {}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, {weight.size(0)}, weight, bias, 1e-5);
}

void LayerNorm::visit_parameters(const std::string& prefix, const ParameterVisitor& visit) {
  visit(prefix + ".weight", weight);
  visit(prefix + ".bias", bias);
}

}  // namespace hici::nn
