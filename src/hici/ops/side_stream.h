// SPDX-License-Identifier: Apache-2.0
// Work that a GPU does beside the main stream. Small operations leave most of a GPU idle; on a stream of their own they
// run in the gaps of large ones. The backward pass of what was made there runs there too (LibTorch's engine takes each
// node's forward stream and joins streams where gradients meet).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

namespace hici::ops {

class SideStream {
 public:
  // On a CPU, and while a profile is being taken (which wants parts one after another), everything stays in order.
  explicit SideStream(at::Device device);
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  // From now on this thread's work goes to the side stream, behind all work that is queued; `inputs` are read there.
  void enter(const std::vector<at::Tensor>& inputs);
  // Back to the main stream, which goes on without waiting.
  void leave();
  // The main stream waits for the side stream; `outputs` are used on the main stream from now on.
  void join(const std::vector<at::Tensor>& outputs);

 private:
  struct State;
  std::unique_ptr<State> state_;  // null: in order
};

}  // namespace hici::ops
