// SPDX-License-Identifier: Apache-2.0
// Activation offloading: tensors of the forward pass are kept in pinned host memory until the backward pass. Copies run
// on their own stream, concurrently with the model. The copy back is prefetched while the previous layer of the
// backward pass runs. Nothing blocks the host. LibTorch's device-generic streams and events need no CUDA header.
#pragma once

#include "hici/nn/module.h"

#include <memory>

namespace hici::nn {

class OffloadedTensors;

// Offloads the tensors of one forward pass, layer by layer. The backward pass takes them in reverse order.
class ActivationOffloader {
 public:
  // Queues the copies to the host. The allocator reuses the tensors' memory after the copies, when nobody else holds
  // them. All tensors are on one device other than a CPU.
  std::shared_ptr<OffloadedTensors> offload(const TensorList& tensors);

 private:
  std::shared_ptr<OffloadedTensors> last_;
};

// The tensors on the device again, ready for the current stream. Call it once. Prefetches the tensors offloaded before
// these.
TensorList wait(OffloadedTensors& tensors);

// Bytes of pinned memory that LibTorch allocates for a tensor of `bytes`: the next power of two.
int64_t pinned_bytes(int64_t bytes);

}  // namespace hici::nn
