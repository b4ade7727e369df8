// SPDX-License-Identifier: Apache-2.0
// Frozen weights of a model to where --shard and --offload want them, layer by layer while the model is made: the whole
// model need never be on one device.
#pragma once

#include "hici/config/base_format.h"
#include "hici/config/sharding.h"
#include "hici/nn/causal_lm.h"
#include "hici/optim/trainable.h"
#include "hici/parallel/world.h"

#include <functional>
#include <memory>

namespace hici::train {

// For each layer, in their order, when its weights are there. Frozen matrices are in `format` first.
using PlaceLayer = std::function<void(nn::CausalLm& model, size_t layer)>;

// Empty where frozen weights stay as they are: one process, or no --shard full, and nothing offloaded. All processes
// call it. An error: a group size that does not divide the processes. On a CPU weights are in host memory
// anyway, and offloading them has no effect.
PlaceLayer place_frozen_weights(const config::Sharding& sharding, const optim::TrainableSelection& trainable,
                                config::BaseFormat format, const parallel::World& world, at::Device device);

// Where frozen weights go.
struct Destination {
  parallel::ProcessGroup group;  // among which they are cut
  at::Device device = at::kCPU;
  bool on_host = false;
};
// What such a call does: marks what is trained of the layer, puts the rest in `format`, and gives it over to
// the model's FrozenWeights, which the first layer's call makes.
void place_layer(nn::CausalLm& model, size_t layer, const optim::TrainableSelection& trainable,
                 config::BaseFormat format, const Destination& destination);

// Puts the frozen matrices of each layer in `format` as soon as they are there: a model that is larger than the device
// before that need not fit.
PlaceLayer quantise_when_loaded(const optim::TrainableSelection& trainable, config::BaseFormat format);

// Processes among which frozen weights are cut; 1: they are not.
int64_t weight_processes(const config::Sharding& sharding, int64_t world);

}  // namespace hici::train
