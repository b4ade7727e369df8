// SPDX-License-Identifier: Apache-2.0
// A second stream of a GPU, for small kernels that run concurrently with the large ones of the main stream. The
// backward of its work runs on it too: LibTorch's engine uses each node's forward stream and joins streams where
// gradients meet. LibTorch sums gradients of a parameter on the stream of its first use. Use a parameter of both
// streams on the main stream first, or the side stream waits for it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <memory>
#include <vector>

namespace hici::device {

class SideStream {
 public:
  // run() may read what the main stream has queued before this constructor. On a CPU, and while a profile is taken
  // (whose parts must not overlap), all work stays on the main stream.
  explicit SideStream(at::Device device);
  ~SideStream();
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  // False where all work stays on the main stream.
  bool is_separate() const { return state_ != nullptr; }

  // Whether what this thread queues goes to the side stream of `device`.
  static bool is_current(at::Device device);

  // The side stream waits for all work of the main stream so far. Call it once per forward pass: the main stream may
  // still be updating weights that the side stream reads.
  static void fence(at::Device device);

  // `stream` waits for all work of the side stream so far, also that whose results nobody has joined.
  static void let_wait(const c10::Stream& stream);

  // Queues body(wait_for_inputs) on the side stream and returns its tensors, ready for the main stream. The host does
  // not wait. The body calls wait_for_inputs() before it uses `inputs`; work that depends on weights only comes before
  // that call and starts earlier. `inputs` were queued before the constructor. Call run() once.
  template <typename Body>
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, const Body& body) {
    enter();
    std::vector<at::Tensor> outputs = body([&] { wait_for(inputs); });
    leave();
    join(outputs);
    return outputs;
  }

 private:
  void enter();
  void wait_for(const std::vector<at::Tensor>& inputs);
  void leave();
  void join(const std::vector<at::Tensor>& outputs);

  struct State;
  std::unique_ptr<State> state_;  // null: everything on the main stream
};

}  // namespace hici::device
