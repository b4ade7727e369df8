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

// Of the frozen matrices of a layer, from its shapes. In 8 bits a matrix is there twice, with a number for each row.
std::vector<int64_t> frozen_bytes(nn::CausalLm& model, size_t layer, const optim::TrainableSelection& trainable,
                                  bool fp8_base) {
  std::vector<int64_t> bytes;
  model.visit_layer(layer, [&](const std::string& name, const at::Tensor& t) {
    if (t.dim() != 2 || optim::is_trained(trainable, name)) return;
    if (!fp8_base) {
      bytes.push_back(static_cast<int64_t>(t.nbytes()));
    } else {
      const auto scale = static_cast<int64_t>(c10::elementSize(ops::accumulation_type(t.scalar_type())));
      bytes.insert(bytes.end(), {t.numel(), t.numel(), scale * t.size(0)});
    }
  });
  return bytes;
}

std::unique_ptr<nn::FrozenWeights> make_frozen_weights(nn::CausalLm& model, const optim::TrainableSelection& trainable,
                                                       bool fp8_base, const Destination& to) {
  const auto layers = static_cast<int64_t>(model.layers().size());
  int64_t largest = 0;
  for (size_t i = 0; i < model.layers().size(); ++i)
    largest =
        std::max(largest, nn::FrozenWeights::buffer_size(frozen_bytes(model, i, trainable, fp8_base), to.group.size()));
  return std::make_unique<nn::FrozenWeights>(
      nn::FrozenWeights::Settings{layers, largest, to.group, to.device, to.on_host});
}

}  // namespace

void place_layer(nn::CausalLm& model, size_t index, const optim::TrainableSelection& trainable, bool fp8_base,
                 const Destination& destination) {
  if (index == 0) {
    if (fp8_base) model.check_fp8("`fp8_base`");
    model.keep_frozen_weights(make_frozen_weights(model, trainable, fp8_base, destination));
  }
  nn::DecoderLayer& layer = model.layers()[index];
  model.visit_layer(
      index, [&](const std::string& name, at::Tensor& t) { t.requires_grad_(optim::is_trained(trainable, name)); });
  if (fp8_base) layer.quantise_frozen();
  model.frozen_weights()->take(static_cast<int64_t>(index), layer.linears());
}

PlaceLayer place_frozen_weights(const config::Sharding& sharding, const optim::TrainableSelection& trainable,
                                bool fp8_base, const parallel::World& world, at::Device device) {
  const int64_t processes = weight_processes(sharding, world.size());
  const bool on_host = sharding.offload_weights && device.is_cuda();
  if (processes == 1 && !on_host) return {};
  HICI_ASSERT(trainable.low_rank, "nothing is frozen");
  const parallel::ProcessGroup group = world.make_block(processes);
  return [=](nn::CausalLm& model, size_t layer) {
    place_layer(model, layer, trainable, fp8_base, {group, device, on_host});
  };
}

}  // namespace hici::train
