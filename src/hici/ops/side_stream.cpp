// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/side_stream.h"

#include "hici/ops/profile.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <map>
#include <mutex>
#include <optional>

namespace hici::ops {
namespace {

// One for each device, high priority, since it is the small work that others wait for. All threads share it: the
// backward pass may make a forward again in a thread of its own, behind the same fence.
c10::Stream side_stream_of(at::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::Stream> streams;
  const std::lock_guard lock(mutex);
  const auto found = streams.find(device.index());
  if (found != streams.end()) return found->second;
  const c10::impl::VirtualGuardImpl impl(device.type());
  return streams.emplace(device.index(), impl.getStreamFromGlobalPool(device, /*isHighPriority=*/true)).first->second;
}

c10::Stream main_stream_of(at::Device device) { return c10::impl::VirtualGuardImpl(device.type()).getStream(device); }

void wait_for_main(const c10::Stream& side, const c10::Stream& main) {
  c10::Event ready(main.device_type());
  ready.record(main);
  ready.block(side);
}

}  // namespace

struct SideStream::State {
  c10::Stream main, side;
  c10::Event done;
  std::optional<c10::StreamGuard> guard;
  std::vector<std::shared_ptr<torch::autograd::Node>> sums;

  explicit State(at::Device device) : main(main_stream_of(device)), side(side_stream_of(device)), done(device.type()) {}
};

SideStream::SideStream(at::Device device) {
  if (!device.is_cpu() && !PartSwitch::is_recording()) state_ = std::make_unique<State>(device);
}

SideStream::~SideStream() = default;

void SideStream::fence(at::Device device) {
  if (!device.is_cpu()) wait_for_main(side_stream_of(device), main_stream_of(device));
}

void SideStream::enter() {
  if (state_) state_->guard.emplace(state_->side);
}

// record_stream: the allocator must not hand the memory out again before the other stream is done with it.
void SideStream::wait_for(const std::vector<at::Tensor>& inputs) {
  if (!state_) return;
  wait_for_main(state_->side, state_->main);
  for (const at::Tensor& t : inputs) t.record_stream(state_->side);
}

void SideStream::leave() {
  if (!state_) return;
  state_->done.record(state_->side);
  state_->guard.reset();
}

void SideStream::join(const std::vector<at::Tensor>& outputs) {
  if (!state_) return;
  state_->done.block(state_->main);
  for (const at::Tensor& t : outputs)
    if (t.defined()) t.record_stream(state_->main);
}

void SideStream::sum_on_main(const std::vector<at::Tensor>& parameters) {
  if (!state_ || !at::GradMode::is_enabled()) return;
  for (const at::Tensor& t : parameters)
    if (t.defined() && t.requires_grad() && t.is_leaf())
      state_->sums.push_back(torch::autograd::impl::grad_accumulator(t));
}

}  // namespace hici::ops
