// SPDX-License-Identifier: Apache-2.0
// Work that a GPU does beside the main stream. Small operations leave most of a GPU idle; on a stream of their own they
// run in the gaps of large ones. The backward pass of what was made there runs there too (LibTorch's engine takes each
// node's forward stream and joins streams where gradients meet). Gradients of a parameter are summed on the stream of
// its first use: one that both streams use is best used on the main stream first, or the side stream waits for it.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

namespace hici::ops {

class SideStream {
 public:
  // What the main stream has queued by now the side stream may read, after wait_for(). On a CPU, and while a profile is
  // being taken (which wants parts one after another), everything stays in order.
  explicit SideStream(at::Device device);
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  // The side stream waits for all that is queued on the main stream now. Once for every forward pass: it reads weights
  // that the main stream may still be updating.
  static void fence(at::Device device);

  // From now on this thread's work goes to the side stream.
  void enter();
  // The side stream waits for what the main stream had queued when this object was made, `inputs` among it.
  void wait_for(const std::vector<at::Tensor>& inputs);
  // Back to the main stream, which goes on without waiting.
  void leave();
  // The main stream waits for the side stream; `outputs` are used on the main stream from now on.
  void join(const std::vector<at::Tensor>& outputs);

 private:
  struct State;
  std::unique_ptr<State> state_;  // null: in order
};

}  // namespace hici::ops
