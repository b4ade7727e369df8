// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/linear.h"

#include "hici/base/error.h"
#include "hici/device/profile.h"
#include "hici/nn/dropout.h"
#include "hici/ops/fp8.h"

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

void Linear::quantise(bool has_backward) {
  HICI_ASSERT(!weight.requires_grad() && !is_quantised(), "a weight that is trained, or in 8 bits already");
  ops::Fp8Matrix matrix = ops::quantise_matrix(weight, has_backward);
  weight = std::move(matrix.weight);
  transposed = std::move(matrix.transposed);
  channel_scale = std::move(matrix.scale);
}

ops::LoraWeights Linear::weights() const {
  return {weight, lora_a, lora_b, lora_scale, transposed, channel_scale, dropout_key};
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
  HICI_ASSERT(!is_quantised(), "a weight in 8 bits");
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
