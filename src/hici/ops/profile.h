// SPDX-License-Identifier: Apache-2.0
// Where the time of a step goes, part by part. Places in the model say which part they are with profiled(); while no
// Profile lives that is a plain call behind one branch. On a GPU work is queued and done later, so that a clock of the
// host says nothing: marks are events on the device's current stream there.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

namespace hici::ops {

enum class Part {
  kAttention,  // scores, softmax and weighted values of the decoder's attention
  kLinear,     // projections, MLP and adapters on them
  kLoss,       // head, softmax and loss
  kHici,       // local construction, global integration, slots through the layer's projections
  kOptimizer,  // clipping and the update
  kRest,       // embedding, norms, rotary embedding, SwiGLU, residuals, accumulation: what nothing else names
};
inline constexpr size_t kNumParts = 6;
inline constexpr std::array<const char*, kNumParts> kPartNames{"attention", "linear",    "loss",
                                                               "hici",      "optimizer", "rest"};

using PartSeconds = std::array<double, kNumParts>;  // indexed by Part

// Records while it lives, from kRest on; one at a time in a process. Forward, recomputation and backward may run in
// different threads (LibTorch has a thread for each GPU), but not at the same time.
class Profile {
 public:
  explicit Profile(at::Device device);
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Waits for the device; the seconds between construction and this call, spread over the parts without rest.
  PartSeconds finish();

 private:
  friend class PartSwitch;
  struct Marks;
  std::unique_ptr<Marks> marks_;
};

// What profiled() is made of.
class PartSwitch {
 public:
  static bool is_recording() { return active_.load(std::memory_order_relaxed) != nullptr; }
  // The outermost part counts: linear layers inside the hierarchy are the hierarchy's.
  static bool is_wanted() { return is_recording() && is_outermost(); }
  // From now on `part`, until leave(). Each returns its tensors behind a node of autograd that switches the other way
  // when the backward pass comes by: nodes run in the reverse order of their making, so that the backward of a body
  // lies between the two.
  static std::vector<at::Tensor> enter(Part part, const std::vector<at::Tensor>& inputs);
  static std::vector<at::Tensor> leave(Part part, const std::vector<at::Tensor>& outputs);

 private:
  friend class Profile;
  static bool is_outermost();
  static void add(Part part);
  static std::atomic<Profile::Marks*> active_;
};

// body(inputs...), a tensor or a vector of them, as work of `part`. Only the work on `inputs` is found again in the
// backward pass: give all tensors with gradients that the body takes from outside, parameters excepted.
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

}  // namespace hici::ops
