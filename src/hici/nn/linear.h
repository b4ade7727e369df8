// SPDX-License-Identifier: Apache-2.0
// Linear layers with an optional LoRA adapter, and layer normalisation.
// Reference: linear() and layer_norm() of the reference.
#pragma once

#include "hici/config/base_format.h"
#include "hici/config/lora_config.h"
#include "hici/nn/module.h"
#include "hici/ops/lora_linear.h"

#include <string>
#include <vector>

namespace hici::nn {

// y = x W^T + lora_scale * (x A^T B^T + bias); the last term where an adapter is attached.
struct Linear {
  at::Tensor weight;     // [out, in]; in 4 bits [out, in / 2]
  at::Tensor lora_a;     // [rank, in], undefined without an adapter
  at::Tensor lora_b;     // [out, rank]
  at::Tensor lora_bias;  // [out], undefined for almost all adapters; has no backward pass
  double lora_scale = 0;
  uint64_t dropout_key = 0;              // of the adapter (nn/dropout.h)
  at::Tensor transposed, channel_scale;  // of a weight in 8 bits (ops::Fp8Matrix), else undefined
  at::Tensor block_scale, scale_groups;  // of a weight in 4 bits (ops::Nf4Matrix), else undefined

  Linear() = default;
  Linear(int64_t out, int64_t in, const ParameterOptions& options);

  bool has_lora() const { return lora_a.defined(); }
  void add_lora(const config::LoraModule& lora);
  bool is_quantised() const { return channel_scale.defined() || block_scale.defined(); }
  // The weight, which must be frozen, in this format from now on; its own memory is given back. Without `has_backward`
  // for inference alone.
  void quantise(config::BaseFormat format, bool has_backward = true);
  // out * in, in every format.
  int64_t num_weights() const;

  ops::LoraWeights weights() const;
  // x [..., in] -> [..., out]. Adapters have the dropout of the DropoutScope.
  at::Tensor forward(const at::Tensor& x) const;
  // Several layers over one input, which is kept once for all of them.
  static std::vector<at::Tensor> forward_jointly(const at::Tensor& x, const std::vector<const Linear*>& layers,
                                                 const ops::LinearLayout& layout = {});
  // W + lora_scale * B A, [out, in]; differentiable.
  at::Tensor effective_weight() const;

  void visit_parameters(const std::string& prefix, const ParameterVisitor& visit);
};

// Bytes of each tensor of a frozen matrix [out, in] in this format, in the order of Linear's fields. `element` and
// `scale` bytes: of the model's type, and of the type that sums of it have.
std::vector<int64_t> frozen_bytes(config::BaseFormat format, int64_t out, int64_t in, int64_t element, int64_t scale);

// The linear layers of a module, with the last part of their names.
struct NamedLinear {
  const char* name;
  Linear* linear;
};
using NamedLinears = std::vector<NamedLinear>;

void visit_linears(const NamedLinears& linears, const std::string& prefix, const ParameterVisitor& visit);
// Attaches adapters to those that `lora` adapts. `prefix`: as for visit_linears().
void adapt_linears(const NamedLinears& linears, const std::string& prefix, const config::LoraConfig& lora);

// Layer normalisation with weight and bias, epsilon 1e-5.
struct LayerNorm {
  at::Tensor weight;  // [width]
  at::Tensor bias;    // [width]

  LayerNorm() = default;
  LayerNorm(int64_t width, const ParameterOptions& options);

  at::Tensor forward(const at::Tensor& x) const;
  void visit_parameters(const std::string& prefix, const ParameterVisitor& visit);
};

}  // namespace hici::nn
