// SPDX-License-Identifier: Apache-2.0
#include "hici/train/place_weights.h"

#include "hici/base/error.h"
#include "hici/ops/types.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace hici::train {

int64_t weight_processes(const config::Sharding& sharding, int64_t world) {
  const int64_t size = sharding.weight_processes(world);
  HICI_CHECK_USAGE(world % size == 0, "`shard_group_size`: groups of ", size, " do not divide ", world,
                   " processes; use a number that does");
  return size;
}

namespace {

// Of the frozen matrices of a layer, from its shapes. One tensor after the other, as FrozenWeights takes them.
std::vector<int64_t> frozen_bytes(nn::CausalLm& model, size_t layer, const optim::TrainableSelection& trainable,
                                  config::BaseFormat format) {
  std::vector<int64_t> bytes;
  model.visit_layer(layer, [&](const std::string& name, const at::Tensor& t) {
    if (t.dim() != 2 || optim::is_trained(trainable, name)) return;
    const auto element = static_cast<int64_t>(c10::elementSize(t.scalar_type()));
    const auto scale = static_cast<int64_t>(c10::elementSize(ops::accumulation_type(t.scalar_type())));
    const std::vector<int64_t> parts = nn::frozen_bytes(format, t.size(0), t.size(1), element, scale);
    bytes.insert(bytes.end(), parts.begin(), parts.end());
  });
  return bytes;
}

std::unique_ptr<nn::FrozenWeights> make_frozen_weights(nn::CausalLm& model, const optim::TrainableSelection& trainable,
                                                       config::BaseFormat format, const Destination& to) {
  const auto layers = static_cast<int64_t>(model.layers().size());
  int64_t largest = 0;
  for (size_t i = 0; i < model.layers().size(); ++i)
    largest =
        std::max(largest, nn::FrozenWeights::buffer_size(frozen_bytes(model, i, trainable, format), to.group.size()));
  return std::make_unique<nn::FrozenWeights>(
      nn::FrozenWeights::Settings{layers, largest, to.group, to.device, to.on_host});
}

// Marks what is trained of the layer, and puts the rest in `format`.
void quantise_layer(nn::CausalLm& model, size_t layer, const optim::TrainableSelection& trainable,
                    config::BaseFormat format) {
  model.visit_layer(
      layer, [&](const std::string& name, at::Tensor& t) { t.requires_grad_(optim::is_trained(trainable, name)); });
  model.quantise_layer(layer, format);
}

}  // namespace

void place_layer(nn::CausalLm& model, size_t index, const optim::TrainableSelection& trainable,
                 config::BaseFormat format, const Destination& destination) {
  if (index == 0) {
    model.check_base_format(format);
    model.keep_frozen_weights(make_frozen_weights(model, trainable, format, destination));
  }
  quantise_layer(model, index, trainable, format);
  model.frozen_weights()->take(static_cast<int64_t>(index), model.layers()[index].linears());
}

PlaceLayer quantise_when_loaded(const optim::TrainableSelection& trainable, config::BaseFormat format) {
  return [=](nn::CausalLm& model, size_t layer) { quantise_layer(model, layer, trainable, format); };
}

PlaceLayer place_frozen_weights(const config::Sharding& sharding, const optim::TrainableSelection& trainable,
                                config::BaseFormat format, const parallel::World& world, at::Device device) {
  const int64_t processes = weight_processes(sharding, world.size());
  const bool on_host = sharding.offload_weights && device.is_cuda();
  if (processes == 1 && !on_host) return {};
  HICI_ASSERT(trainable.low_rank, "nothing is frozen");
  const parallel::ProcessGroup group = world.make_block(processes);
  return [=](nn::CausalLm& model, size_t layer) {
    place_layer(model, layer, trainable, format, {group, device, on_host});
  };
}

}  // namespace hici::train
