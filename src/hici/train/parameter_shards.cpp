// SPDX-License-Identifier: Apache-2.0
#include "hici/train/parameter_shards.h"

#include "hici/base/error.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace hici::train {
namespace {

parallel::FlatLayout layout_of(const std::vector<optim::TrainedParameter>& parameters, int64_t shards) {
  std::vector<int64_t> sizes;
  for (const optim::TrainedParameter& parameter : parameters) {
    HICI_ASSERT(parameter.tensor.scalar_type() == parameters.front().tensor.scalar_type(), parameter.name);
    sizes.push_back(parameter.tensor.numel());
  }
  return {std::move(sizes), shards};
}

}  // namespace

ParameterShards::ParameterShards(std::vector<optim::TrainedParameter> parameters, const parallel::World& world,
                                 config::ShardKind kind)
    : parameters_(std::move(parameters)), world_(world) {
  if (world.size() == 1 || parameters_.empty()) {
    updated_ = parameters_;
    return;
  }
  const at::NoGradGuard no_grad;
  layout_.emplace(layout_of(parameters_, kind == config::ShardKind::kNone ? 1 : world.size()));
  const at::TensorOptions options = parameters_.front().tensor.options().requires_grad(false);
  weights_ = at::zeros({layout_->total()}, options);
  gradients_ =
      at::zeros({layout_->total()}, options.dtype(ops::accumulation_type(c10::typeMetaToScalarType(options.dtype()))));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& tensor = parameters_[i].tensor;
    const auto part_of = [&](const at::Tensor& flat) {
      return flat.narrow(0, layout_->offset(i), layout_->size(i)).view(tensor.sizes());
    };
    gradient_views_.push_back(part_of(gradients_));
    const at::Tensor place = part_of(weights_);
    place.copy_(tensor);
    tensor.set_data(place);
  }
  // Values that were drawn may differ in their last bits from device to device.
  world.all().broadcast(weights_, 0);
  pieces_ = layout_->pieces(is_cut() ? world.rank() : 0);
  if (!is_cut()) {
    updated_ = parameters_;
    return;
  }
  const at::Tensor own = weights_.narrow(0, world.rank() * layout_->shard_size(), layout_->shard_size());
  for (const auto& piece : pieces_) {
    optim::TrainedParameter updated = parameters_[piece.tensor];
    updated.tensor = own.narrow(0, piece.in_shard, piece.size).detach().requires_grad_();
    updated_.push_back(std::move(updated));
  }
}

std::vector<bool> ParameterShards::who_has_gradients(const std::vector<at::Tensor>& sums) const {
  at::Tensor has = at::zeros({static_cast<int64_t>(sums.size())}, at::kByte);
  auto* values = has.mutable_data_ptr<uint8_t>();
  for (size_t i = 0; i < sums.size(); ++i) values[i] = sums[i].defined() ? 1 : 0;
  world_.control().all_reduce_max(has);
  return std::vector<bool>(values, values + sums.size());
}

std::vector<at::Tensor> ParameterShards::reduce(const std::vector<at::Tensor>& sums) {
  if (!layout_) return sums;
  const at::NoGradGuard no_grad;
  const std::vector<bool> has_gradient = who_has_gradients(sums);
  for (size_t i = 0; i < sums.size(); ++i) {
    if (!sums[i].defined()) gradient_views_[i].zero_();
  }
  at::Tensor own = gradients_;
  if (is_cut()) {
    own = gradients_.narrow(0, world_.rank() * layout_->shard_size(), layout_->shard_size());
    world_.all().reduce_scatter(own, gradients_.view({layout_->num_shards(), -1}));
  } else {
    world_.all().all_reduce_sum(gradients_);
  }
  std::vector<at::Tensor> reduced;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const auto& piece = pieces_[i];
    const at::Tensor part = own.narrow(0, piece.in_shard, piece.size).view(updated_[i].tensor.sizes());
    reduced.push_back(has_gradient[piece.tensor] ? part : at::Tensor());
  }
  return reduced;
}

std::array<double, optim::kNumGroups> ParameterShards::sum_squares(
    const std::array<double, optim::kNumGroups>& own) const {
  if (!is_cut()) return own;
  const std::vector<double> sums = parallel::sums_over(world_, std::vector<double>(own.begin(), own.end()));
  std::array<double, optim::kNumGroups> squares{};
  std::copy(sums.begin(), sums.end(), squares.begin());
  return squares;
}

void ParameterShards::gather() {
  if (!is_cut()) return;
  const at::NoGradGuard no_grad;
  world_.all().all_gather(weights_, weights_.narrow(0, world_.rank() * layout_->shard_size(), layout_->shard_size()));
}

std::vector<ParameterShards::Owned> ParameterShards::owners_of(size_t index) const {
  if (!is_cut()) return {{world_.rank(), 0, parameters_[index].tensor.numel()}};
  std::vector<Owned> owners;
  const int64_t size = layout_->size(index);
  for (int64_t begin = 0; begin < size;) {
    const int64_t at = layout_->offset(index) + begin, rank = at / layout_->shard_size();
    const int64_t length = std::min(size - begin, (rank + 1) * layout_->shard_size() - at);
    owners.push_back({rank, begin, length});
    begin += length;
  }
  return owners;
}

}  // namespace hici::train
