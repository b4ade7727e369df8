// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/parameter_sizes.h"

#include "hici/base/error.h"
#include "hici/base/parse_number.h"
#include "hici/hierarchy/hierarchy.h"

#include <string>

namespace hici::plan {

ParameterSizes count_parameters(nn::CausalLm& model) {
  constexpr std::string_view kLayer = "model.layers.", kEmbedding = "model.embed_tokens.";
  ParameterSizes sizes;
  sizes.trained_of_layer.resize(model.layers().size());
  model.visit_parameters([&](const std::string& name, at::Tensor& t) {
    const bool is_embedding = name.rfind(kEmbedding, 0) == 0;
    sizes.all += t.numel();
    if (is_embedding) sizes.embedding = t.numel();
    if (!t.requires_grad()) return;
    sizes.trained += t.numel();
    if (name.find(".mlp.") != std::string::npos) sizes.trains_mlp = true;
    if (is_embedding) {
      sizes.trains_embedding = true;
    } else if (name.rfind(kLayer, 0) == 0) {
      const size_t end = name.find('.', kLayer.size());
      const auto layer = parse_number<size_t>(std::string_view(name).substr(kLayer.size(), end - kLayer.size()));
      HICI_ASSERT(layer && *layer < sizes.trained_of_layer.size(), name);
      sizes.trained_of_layer[*layer] += t.numel();
    } else {
      sizes.trained_of_end += t.numel();
    }
  });
  for (nn::DecoderLayer& layer : model.layers()) {
    for (const auto& [name, linear] : layer.linears()) {
      sizes.all += linear->num_weights() - linear->weight.numel();
      if (!linear->weight.requires_grad()) sizes.frozen_matrices += linear->num_weights();
    }
  }
  sizes.trains_head = model.head_weight().requires_grad();
  return sizes;
}

ParameterSizes count_parameters(const config::ModelConfig& config, const std::optional<config::HiciConfig>& hici,
                                const config::LoraConfig& lora, const optim::TrainableSelection& selection) {
  nn::CausalLm model(config, {});
  if (hici) hierarchy::attach_hierarchy(model, *hici, {});
  if (selection.low_rank) model.add_lora(lora);
  // add_lora() makes its tensors where the weights are: on the meta device.
  optim::select_trainable(model, selection);
  return count_parameters(model);
}

}  // namespace hici::plan
