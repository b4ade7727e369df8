// SPDX-License-Identifier: Apache-2.0
// Frozen weights of decoder layers that are on the device only while their layer is at work: cut among processes
// (--shard full), in pinned host memory (--offload weights), or both.
//
// Two buffers of one layer each lie on the device, and layer i always has buffer i mod 2: its weights are views of that
// buffer, valid from use(i) on until the next layer but one needs the buffer. So the addresses that the forward pass
// saves are right in the backward pass too, once the buffer is filled again. While a layer is at work the next one is
// on its way: i + 1 in the forward pass, i - 1 in the backward pass. Copies and collectives run on their own stream.
// Between GPUs of one host the parts are copied from where they lie, without a collective (parallel/peer_memory.h).
#pragma once

#include "hici/nn/linear.h"
#include "hici/parallel/process_group.h"

#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <array>
#include <optional>
#include <vector>

namespace hici::nn {

class FrozenWeights {
 public:
  struct Settings {
    int64_t num_layers = 0;
    int64_t buffer_size = 0;       // of the largest layer: buffer_size()
    parallel::ProcessGroup group;  // among which each layer is cut; of one: each layer is whole here
    at::Device device = at::kCPU;
    bool on_host = false;  // this process's part waits in pinned host memory
  };
  // All processes of the group make the same calls in the same order.
  explicit FrozenWeights(const Settings& settings);
  ~FrozenWeights();
  FrozenWeights(const FrozenWeights&) = delete;
  FrozenWeights& operator=(const FrozenWeights&) = delete;

  // Bytes of a buffer for tensors of these sizes.
  static int64_t buffer_size(const std::vector<int64_t>& tensor_bytes, int64_t processes);

  // Takes the frozen weights of a layer over, which are on the device or on the host: this process keeps its part, and
  // the tensors become views of a buffer. `linears`: all linear layers of the decoder layer; those whose weight is
  // trained stay as they are. Call it once for each layer, in their order, before the first use(). The processes of the
  // group meet at the last one.
  void take(int64_t layer, const NamedLinears& linears);

  // The weights of `layer` are there for what the current stream is given from now on, until the next call.
  void use(int64_t layer);
  // `outputs` of the layer, with a backward pass that begins with use(layer).
  TensorList use_in_backward(int64_t layer, const TensorList& outputs);

  // Bytes that one process keeps between the uses, and those of the buffers.
  int64_t kept_bytes() const;
  int64_t buffer_bytes() const { return 2 * buffer_size_; }

 private:
  struct Buffer {
    at::Tensor bytes;    // [buffer_size_], uint8
    int64_t layer = -1;  // whose weights it has, or will have when `ready`
    std::optional<c10::Event> ready;
  };

  Buffer& buffer_of(int64_t layer) { return buffers_[static_cast<size_t>(layer % 2)]; }
  int64_t next_of(int64_t layer) const;
  void fill(int64_t layer);
  void copy_and_gather(int64_t layer, const at::Tensor& buffer) const;

  parallel::ProcessGroup group_;
  at::Device device_;
  bool on_host_;
  int64_t num_layers_;
  int64_t buffer_size_;
  std::vector<at::Tensor> parts_;  // of each layer, uint8
  // On a GPU: the parts of all layers in one block, [L, buffer_size_ / processes], and those of all processes of the
  // group where they can be read directly; else empty.
  at::Tensor block_;
  std::vector<at::Tensor> peers_;
  std::array<Buffer, 2> buffers_;
  std::optional<c10::Stream> stream_;  // of a GPU
};

}  // namespace hici::nn
