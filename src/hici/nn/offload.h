// SPDX-License-Identifier: Apache-2.0
// Tensors of the forward pass that wait in pinned host memory for the backward pass. Copies run on a stream of their
// own, beside the model's work; the one back is queued while the layer before it in the backward pass runs. Nothing
// here waits on the host, and no CUDA header is needed: LibTorch's device-generic streams and events do it.
#pragma once

#include "hici/nn/module.h"

#include <memory>

namespace hici::nn {

class HostCopy;

// The copies of one forward pass in the order of its layers; the backward pass takes them from last to first.
class OffloadChain {
 public:
  // Begins to copy; the tensors' memory is free for reuse when that is done and nobody else holds them. All are on one
  // device, which is no CPU.
  std::shared_ptr<HostCopy> send(const TensorList& tensors);

 private:
  std::shared_ptr<HostCopy> last_;
};

// Back on the device, ready for work on the current stream. Can be done once. Queues the copy of the one sent before
// it.
TensorList take_back(HostCopy& copy);

// Bytes of pinned memory that LibTorch takes for a tensor of so many bytes: the next power of two.
int64_t pinned_bytes(int64_t bytes);

}  // namespace hici::nn
