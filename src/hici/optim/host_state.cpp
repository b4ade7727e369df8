// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/host_state.h"

#include "hici/device/device.h"
#include "hici/device/streams.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/StreamGuard.h>

#include <algorithm>
#include <numeric>

namespace hici::optim {
namespace {

parallel::FlatLayout layout_of(const std::vector<int64_t>& sizes) {
  const int64_t all = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  return {sizes, std::max<int64_t>(1, (all + HostState::kPieceElements - 1) / HostState::kPieceElements)};
}

}  // namespace

HostState::HostState(const std::vector<int64_t>& sizes, int64_t kinds, at::ScalarType type, at::Device device)
    : device_(device), layout_(layout_of(sizes)) {
  const at::TensorOptions options = at::TensorOptions().dtype(type);
  for (int64_t kind = 0; kind < kinds; ++kind)
    flat_.push_back(at::zeros({layout_.total()}, options.pinned_memory(device.is_cuda())));
  for (Staging& staging : staging_) staging.state = at::empty({kinds, layout_.shard_size()}, options.device(device));
  if (!device.is_cuda()) return;
  in_ = device::pool_stream(device);
  out_ = device::pool_stream(device);
  for (Staging& staging : staging_) {
    staging.filled.emplace(device.type());
    staging.free.emplace(device.type());
    staging.free->record(device::current_stream(device));
  }
}

at::Tensor HostState::of(size_t tensor, int64_t kind) const {
  return flat_[static_cast<size_t>(kind)].narrow(0, layout_.offset(tensor), layout_.size(tensor));
}

at::Tensor HostState::piece_of(const at::Tensor& flat, int64_t piece) const {
  return flat.narrow(0, piece * layout_.shard_size(), layout_.shard_size());
}

std::vector<HostState::Part> HostState::parts_of(int64_t piece, const at::Tensor& staged) const {
  std::vector<Part> parts;
  for (const auto& each : layout_.pieces(piece)) {
    Part part{each.tensor, each.begin, each.size, {}};
    for (const at::Tensor& kind : staged.unbind(0)) part.state.push_back(kind.narrow(0, each.in_shard, each.size));
    parts.push_back(std::move(part));
  }
  return parts;
}

void HostState::copy_in(int64_t piece) {
  Staging& staging = staging_of(piece);
  std::optional<c10::StreamGuard> guard;
  if (in_) {
    staging.free->block(*in_);
    guard.emplace(*in_);
  }
  for (size_t kind = 0; kind < flat_.size(); ++kind)
    staging.state.select(0, static_cast<int64_t>(kind)).copy_(piece_of(flat_[kind], piece), /*non_blocking=*/true);
  if (in_) staging.filled->record(*in_);
}

void HostState::copy_out(int64_t piece) {
  Staging& staging = staging_of(piece);
  std::optional<c10::StreamGuard> guard;
  if (out_) {
    device::let_wait(*out_, device::current_stream(device_));
    guard.emplace(*out_);
  }
  for (size_t kind = 0; kind < flat_.size(); ++kind)
    piece_of(flat_[kind], piece).copy_(staging.state.select(0, static_cast<int64_t>(kind)), /*non_blocking=*/true);
  if (out_) staging.free->record(*out_);
}

void HostState::update(const std::function<void(const std::vector<Part>&)>& update) {
  const at::NoGradGuard no_grad;
  const int64_t pieces = layout_.num_shards();
  copy_in(0);
  for (int64_t piece = 0; piece < pieces; ++piece) {
    if (piece + 1 < pieces) copy_in(piece + 1);
    if (in_) staging_of(piece).filled->block(device::current_stream(device_));
    update(parts_of(piece, staging_of(piece).state));
    copy_out(piece);
  }
}

void HostState::finish() const { device::synchronize(device_); }

}  // namespace hici::optim
