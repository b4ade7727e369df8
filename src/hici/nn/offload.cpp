// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/offload.h"

#include "hici/base/error.h"
#include "hici/device/streams.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <bit>

namespace hici::nn {

class OffloadedTensors {
 public:
  OffloadedTensors(const TensorList& tensors, std::shared_ptr<OffloadedTensors> previous)
      : previous_(std::move(previous)),
        device_(tensors.front().device()),
        streams_(device_.type()),
        side_(previous_ ? previous_->side_ : device::pool_stream(device_)),
        arrived_(device_.type()) {
    const at::NoGradGuard no_grad;
    device::let_wait(side_, device::current_stream(device_));
    const c10::StreamGuard guard(side_);
    for (const at::Tensor& tensor : tensors) {
      on_host_.push_back(at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true)));
      on_host_.back().copy_(tensor, /*non_blocking=*/true);
      // The allocator gives the block to nobody before the copy has read it.
      streams_.recordDataPtrOnStream(tensor.storage().data_ptr(), side_);
    }
  }

  // Queues the copy back to the device, once.
  void prefetch() {
    if (!on_device_.empty()) return;
    const at::NoGradGuard no_grad;
    for (const at::Tensor& tensor : on_host_) {
      on_device_.push_back(at::empty(tensor.sizes(), tensor.options().device(device_).pinned_memory(false)));
    }
    // Who had these blocks before may still be at work.
    device::let_wait(side_, device::current_stream(device_));
    const c10::StreamGuard guard(side_);
    for (size_t i = 0; i < on_host_.size(); ++i) {
      on_device_[i].copy_(on_host_[i], /*non_blocking=*/true);
      streams_.recordDataPtrOnStream(on_device_[i].storage().data_ptr(), side_);
    }
    arrived_.record(side_);
  }

  TensorList wait() {
    HICI_ASSERT(!on_host_.empty(), "offloaded tensors were taken back before");
    prefetch();
    if (previous_) previous_->prefetch();
    previous_.reset();
    arrived_.block(device::current_stream(device_));
    on_host_.clear();
    return std::move(on_device_);
  }

 private:
  std::shared_ptr<OffloadedTensors> previous_;
  at::Device device_;
  c10::impl::VirtualGuardImpl streams_;
  c10::Stream side_;
  c10::Event arrived_;
  TensorList on_host_, on_device_;
};

std::shared_ptr<OffloadedTensors> ActivationOffloader::offload(const TensorList& tensors) {
  last_ = std::make_shared<OffloadedTensors>(tensors, std::move(last_));
  return last_;
}

TensorList wait(OffloadedTensors& tensors) { return tensors.wait(); }

int64_t pinned_bytes(int64_t bytes) {
  return bytes <= 0 ? 0 : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(bytes)));
}

}  // namespace hici::nn
