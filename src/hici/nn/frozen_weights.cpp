// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/frozen_weights.h"

#include "hici/base/error.h"
#include "hici/device/autograd_node.h"
#include "hici/device/device.h"
#include "hici/device/side_stream.h"
#include "hici/device/streams.h"
#include "hici/parallel/flat_layout.h"
#include "hici/parallel/peer_memory.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/StreamGuard.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/graph_task.h>

#include <exception>
#include <utility>

namespace hici::nn {
namespace {

using torch::autograd::variable_list;

bool in_backward_pass() { return torch::autograd::get_current_graph_task_id() != -1; }

// Passes gradients on, once the weights are there that all behind it need.
class UseWeightsNode : public torch::autograd::Node {
 public:
  UseWeightsNode(FrozenWeights& weights, int64_t layer) : weights_(weights), layer_(layer) {}

  variable_list apply(variable_list&& grads) override {
    weights_.use(layer_);
    return std::move(grads);
  }

  std::string name() const override { return "hici::UseWeightsBackward"; }

 private:
  FrozenWeights& weights_;
  int64_t layer_;
};

// The tensors of one layer to take over: weights, and what belongs to quantised ones.
std::vector<at::Tensor*> frozen_tensors(const NamedLinears& linears) {
  std::vector<at::Tensor*> tensors;
  for (const auto& [name, linear] : linears) {
    if (linear->weight.requires_grad()) continue;
    for (at::Tensor* t :
         {&linear->weight, &linear->transposed, &linear->channel_scale, &linear->block_scale, &linear->scale_groups})
      if (t->defined()) tensors.push_back(t);
  }
  return tensors;
}

}  // namespace

int64_t FrozenWeights::buffer_size(const std::vector<int64_t>& tensor_bytes, int64_t processes) {
  return parallel::FlatLayout(tensor_bytes, processes).total();
}

FrozenWeights::FrozenWeights(const Settings& settings)
    : group_(settings.group),
      device_(settings.device),
      on_host_(settings.on_host),
      num_layers_(settings.num_layers),
      buffer_size_(settings.buffer_size) {
  const at::TensorOptions bytes = at::TensorOptions().dtype(at::kByte).device(device_);
  for (Buffer& buffer : buffers_) buffer.bytes = at::zeros({buffer_size_}, bytes);
  if (!on_host_)
    block_ = parallel::allocate_shareable(num_layers_ * buffer_size_ / group_.size(), device_).view({num_layers_, -1});
  if (device_.is_cuda()) {
    stream_ = device::pool_stream(device_, /*is_high_priority=*/true);
    for (Buffer& buffer : buffers_) buffer.ready.emplace(device_.type());
  }
}

// Nobody frees what others may still read. Where an error is on its way the others are told of it, and end.
FrozenWeights::~FrozenWeights() {
  if (peers_.empty() || std::uncaught_exceptions() > 0) return;
  try {
    device::synchronize(device_);
    peers_.clear();
    group_.barrier(device_);
  } catch (const std::exception&) {
    // Another process has failed: there is nobody to wait for.
  }
}

void FrozenWeights::take(int64_t layer, const NamedLinears& linears) {
  const at::NoGradGuard no_grad;
  HICI_ASSERT(layer == static_cast<int64_t>(parts_.size()) && layer < num_layers_, layer, " of ", num_layers_);
  const std::vector<at::Tensor*> tensors = frozen_tensors(linears);
  std::vector<int64_t> sizes;
  for (const at::Tensor* t : tensors) sizes.push_back(static_cast<int64_t>(t->nbytes()));
  const parallel::FlatLayout layout(sizes, group_.size());
  HICI_ASSERT(layout.total() <= buffer_size_, "layer ", layer, ": ", layout.total(), " bytes of ", buffer_size_);
  // In its own buffer for a moment, where nothing waits for the layers before.
  Buffer& buffer = buffer_of(layer);
  buffer.layer = -1;
  for (size_t i = 0; i < tensors.size(); ++i) {
    at::Tensor& tensor = *tensors[i];
    const at::Tensor place = buffer.bytes.narrow(0, layout.offset(i), layout.size(i));
    const at::Tensor view = place.view(tensor.scalar_type()).view(tensor.sizes());
    view.copy_(tensor);
    // With a version counter of its own: autograd would take a filled buffer for weights that were changed.
    tensor = view.variable_data();
  }
  const at::Tensor own = buffer.bytes.narrow(0, group_.rank() * layout.shard_size(), layout.shard_size());
  const at::TensorOptions pinned = at::TensorOptions().dtype(at::kByte).pinned_memory(device_.is_cuda());
  at::Tensor part =
      on_host_ ? at::empty({layout.shard_size()}, pinned) : block_.select(0, layer).narrow(0, 0, layout.shard_size());
  parts_.push_back(part.copy_(own));
  if (layer + 1 < num_layers_ || on_host_) return;
  peers_ = parallel::open_peer_memory(group_, block_.view({-1}));
  device::synchronize(device_);  // the others read it from now on
  group_.barrier(device_);
}

void FrozenWeights::use(int64_t layer) {
  HICI_ASSERT(parts_.size() == static_cast<size_t>(num_layers_), parts_.size(), " layers of ", num_layers_);
  const Buffer& buffer = buffer_of(layer);
  if (buffer.layer != layer) fill(layer);
  if (stream_) buffer.ready->block(device::current_stream(device_));
  const int64_t next = next_of(layer);
  if (next >= 0 && buffer_of(next).layer != next) fill(next);
}

// Which layer is the next to work: forward without gradients another sequence or segment follows the last layer.
int64_t FrozenWeights::next_of(int64_t layer) const {
  if (in_backward_pass()) return layer - 1;
  if (layer + 1 < num_layers_) return layer + 1;
  const bool shares_buffer = layer % 2 == 0;  // with layer 0
  return at::GradMode::is_enabled() || shares_buffer ? -1 : 0;
}

void FrozenWeights::fill(int64_t layer) {
  const at::NoGradGuard no_grad;
  Buffer& buffer = buffer_of(layer);
  buffer.layer = layer;
  if (!stream_) return copy_and_gather(layer, buffer.bytes);
  // All that reads the weights which are in the buffer is queued already.
  device::let_wait(*stream_, device::current_stream(device_));
  device::SideStream::let_wait(*stream_);
  const c10::StreamGuard guard(*stream_);
  copy_and_gather(layer, buffer.bytes);
  buffer.ready->record(*stream_);
}

void FrozenWeights::copy_and_gather(int64_t layer, const at::Tensor& buffer) const {
  const at::Tensor& part = parts_[static_cast<size_t>(layer)];
  if (part.numel() == 0) return;  // everything in this layer is trained
  const at::Tensor to = buffer.narrow(0, 0, part.numel() * group_.size());
  if (!peers_.empty()) {
    // The next one's first, so that not all read from one.
    for (int64_t i = 1; i <= group_.size(); ++i) {
      const int64_t rank = (group_.rank() + i) % group_.size();
      const at::Tensor& all = peers_[static_cast<size_t>(rank)];
      to.narrow(0, rank * part.numel(), part.numel())
          .copy_(all.narrow(0, layer * block_.size(1), part.numel()), /*non_blocking=*/true);
    }
    return;
  }
  if (!on_host_) return group_.all_gather(to, part);
  const at::Tensor own = to.narrow(0, group_.rank() * part.numel(), part.numel());
  own.copy_(part, /*non_blocking=*/true);
  group_.all_gather(to, own);
}

TensorList FrozenWeights::use_in_backward(int64_t layer, const TensorList& outputs) {
  if (!at::GradMode::is_enabled()) return outputs;
  TensorList passed = outputs;
  std::vector<at::Tensor> with_gradient;
  for (const at::Tensor& output : outputs) {
    if (output.requires_grad()) with_gradient.push_back(output);
  }
  if (with_gradient.empty()) return passed;
  auto node = device::make_node<UseWeightsNode>(*this, layer);
  node->set_next_edges(torch::autograd::collect_next_edges(at::TensorList(with_gradient)));
  for (at::Tensor& output : passed) {
    if (!output.requires_grad()) continue;
    output = output.detach();
    torch::autograd::set_history(output, node);
  }
  return passed;
}

int64_t FrozenWeights::kept_bytes() const {
  int64_t bytes = 0;
  for (const at::Tensor& part : parts_) bytes += part.numel();
  return bytes;
}

}  // namespace hici::nn
