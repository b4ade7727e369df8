// SPDX-License-Identifier: Apache-2.0
// Time of a training step by part. The model marks its parts with profiled(), a plain call and one branch while no
// Profile exists. A GPU runs its work later than the host queues it, so marks are events on the current stream there.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

namespace hici::device {

enum class Part {
  kAttention,  // scores, softmax and weighted values of the decoder's attention
  kLinear,     // projections, MLP and adapters on them; with matrices in 8 bits SwiGLU too
  kLoss,       // head, softmax and loss
  kHici,       // local construction, global integration, slots through the layer's projections
  kOptimizer,  // clipping and the update
  kRest,       // everything else: embedding, norms, rotary embedding, SwiGLU, residuals, accumulation
};
inline constexpr size_t kNumParts = 6;
inline constexpr std::array<const char*, kNumParts> kPartNames{"attention", "linear",    "loss",
                                                               "hici",      "optimizer", "rest"};

using PartSeconds = std::array<double, kNumParts>;  // indexed by Part

// Records during its lifetime and starts in kRest. One at a time in a process. Forward, recomputation and backward may
// run in different threads (LibTorch has one per GPU), but not at the same time.
class Profile {
 public:
  explicit Profile(at::Device device);
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Synchronises the device. The parts' seconds add up to the time from construction to this call.
  PartSeconds finish();

 private:
  friend class PartSwitch;
  struct Marks;
  std::unique_ptr<Marks> marks_;
};

// The implementation of profiled().
class PartSwitch {
 public:
  static bool is_recording() { return active_.load(std::memory_order_relaxed) != nullptr; }
  // The outermost part counts: linear layers inside the hierarchy belong to the hierarchy.
  static bool is_wanted() { return is_recording() && is_outermost(); }
  // The part from enter() to leave(). Both return their tensors as outputs of an autograd node that makes the opposite
  // switch in the backward pass. Nodes run in reverse order of creation, so the backward of the body runs between them.
  static std::vector<at::Tensor> enter(Part part, const std::vector<at::Tensor>& inputs);
  static std::vector<at::Tensor> leave(Part part, const std::vector<at::Tensor>& outputs);

 private:
  friend class Profile;
  static bool is_outermost();
  static void add(Part part);
  static std::atomic<Profile::Marks*> active_;
};

// Runs body(inputs...), which returns a tensor or a vector of tensors, as work of `part`. The backward pass attributes
// the work on `inputs` only: pass every tensor with a gradient that the body uses, except parameters.
template <typename Body, typename... Tensors>
auto profiled(Part part, Body&& body, const Tensors&... inputs) -> decltype(body(inputs...)) {
  if (!PartSwitch::is_wanted()) return body(inputs...);
  const std::vector<at::Tensor> marked = PartSwitch::enter(part, {inputs...});
  auto output = [&]<size_t... kIndex>(std::index_sequence<kIndex...>) {
    return body(marked[kIndex]...);
  }(std::index_sequence_for<Tensors...>());
  if constexpr (std::is_same_v<decltype(output), at::Tensor>) {
    return PartSwitch::leave(part, {output}).front();
  } else {
    return PartSwitch::leave(part, output);
  }
}

}  // namespace hici::device
