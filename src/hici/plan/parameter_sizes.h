// SPDX-License-Identifier: Apache-2.0
// How many numbers a model has, and how many of them are trained, by where they stand. Asks for shapes only, so that a
// model on the meta device will do.
#pragma once

#include "hici/config/hici_config.h"
#include "hici/nn/causal_lm.h"
#include "hici/optim/trainable.h"

#include <optional>
#include <vector>

namespace hici::plan {

struct ParameterSizes {
  int64_t all = 0;
  int64_t trained = 0;
  int64_t embedding = 0;  // of its table; trained or not
  bool trains_embedding = false;
  bool trains_mlp = false;
  bool trains_head = false;  // also where the head is the trained embedding
  std::vector<int64_t> trained_of_layer;
  int64_t trained_of_end = 0;  // last norm, and the head where it is its own
};

// The parameters that require a gradient are the trained ones (select_trainable()).
ParameterSizes count_parameters(nn::CausalLm& model);

// Of a model with these configs that is made for it and takes no memory; adapters where the selection is low-rank.
ParameterSizes count_parameters(const config::ModelConfig& model, const std::optional<config::HiciConfig>& hici,
                                const config::LoraConfig& lora, const optim::TrainableSelection& selection);

}  // namespace hici::plan
