// SPDX-License-Identifier: Apache-2.0
// The number of parameters of a model, all and trained, by place. Needs shapes only, so a model on the meta device is
// enough.
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
  int64_t frozen_matrices = 0;  // of the layers' projections and MLPs
  int64_t embedding = 0;        // size of the table, trained or not
  bool trains_embedding = false;
  bool trains_mlp = false;
  bool trains_head = false;  // also if the head is the trained embedding
  std::vector<int64_t> trained_of_layer;
  int64_t trained_of_end = 0;  // last norm, and an untied head
};

// The parameters that require a gradient are the trained ones (select_trainable()).
ParameterSizes count_parameters(nn::CausalLm& model);

// The same for a model of these configs, created without memory. It has adapters if the selection is low-rank.
ParameterSizes count_parameters(const config::ModelConfig& model, const std::optional<config::HiciConfig>& hici,
                                const config::LoraConfig& lora, const optim::TrainableSelection& selection);

}  // namespace hici::plan
