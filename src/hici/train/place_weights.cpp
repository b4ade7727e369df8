// SPDX-License-Identifier: Apache-2.0
#include "hici/train/place_weights.h"

#include "hici/base/error.h"

#include <memory>
#include <string>

namespace hici::train {

int64_t weight_processes(const config::Sharding& sharding, int64_t world) {
  const int64_t size = sharding.weight_processes(world);
  HICI_CHECK_USAGE(world % size == 0, "`shard_group_size`: groups of ", size, " do not divide ", world, " processes");
  return size;
}

void place_layer(nn::CausalLm& model, size_t index, const optim::TrainableSelection& trainable, bool fp8_base,
                 const std::function<std::unique_ptr<nn::FrozenWeights>()>& make) {
  if (index == 0) {
    if (fp8_base) model.check_fp8("`fp8_base`");
    model.keep_frozen_weights(make());
  }
  nn::DecoderLayer& layer = model.layers()[index];
  layer.visit_parameters("model.layers." + std::to_string(index), [&](const std::string& name, at::Tensor& t) {
    t.requires_grad_(optim::is_trained(trainable, name));
  });
  if (fp8_base) layer.quantise_frozen();
  model.frozen_weights()->take(static_cast<int64_t>(index), layer.linears());
}

PlaceLayer place_frozen_weights(const config::Sharding& sharding, const optim::TrainableSelection& trainable,
                                bool fp8_base, const parallel::World& world, at::Device device) {
  const int64_t processes = weight_processes(sharding, world.size());
  const bool on_host = sharding.offload_weights && device.is_cuda();
  if (processes == 1 && !on_host) return {};
  HICI_CHECK_USAGE(trainable.low_rank, on_host ? "`offload` weights" : "`shard` full",
                   ": nothing is frozen with `low_rank_training` False; ",
                   on_host ? "leave it out" : "use `shard` optimizer");
  const parallel::ProcessGroup group = world.make_block(processes);
  return [=](nn::CausalLm& model, size_t layer) {
    place_layer(model, layer, trainable, fp8_base, [&] {
      return std::make_unique<nn::FrozenWeights>(model.config().num_hidden_layers, group, device, on_host);
    });
  };
}

}  // namespace hici::train
