// SPDX-License-Identifier: Apache-2.0
#include "hici/device/side_stream.h"

#include "hici/device/profile.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <mutex>
#include <optional>

namespace hici::device {
namespace {

// One stream per device, of high priority, because other work waits for these small kernels. All threads share it: the
// backward pass may recompute a forward in a thread of its own, after the same fence.
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

}  // namespace

struct SideStream::State {
  c10::Stream main, side;
  c10::Event ready, done;
  std::optional<c10::StreamGuard> guard;

  explicit State(at::Device device)
      : main(main_stream_of(device)), side(side_stream_of(device)), ready(device.type()), done(device.type()) {
    ready.record(main);
  }
};

SideStream::SideStream(at::Device device) {
  if (!device.is_cpu() && !PartSwitch::is_recording()) state_ = std::make_unique<State>(device);
}

SideStream::~SideStream() = default;

void SideStream::fence(at::Device device) {
  if (device.is_cpu()) return;
  // LibTorch warns of parameters that both streams use, which is intended here.
  at::globalContext().setWarnOnAccumulateGradStreamMismatch(false);
  State(device).ready.block(side_stream_of(device));
}

void SideStream::let_wait(const c10::Stream& stream) {
  c10::Event done(stream.device_type());
  done.record(side_stream_of(stream.device()));
  done.block(stream);
}

// This thread's work goes to the side stream.
void SideStream::enter() {
  if (state_) state_->guard.emplace(state_->side);
}

// The side stream waits for what the main stream had queued at construction. record_stream: the allocator must not
// reuse memory before the other stream is done with it.
void SideStream::wait_for(const std::vector<at::Tensor>& inputs) {
  if (!state_) return;
  state_->ready.block(state_->side);
  for (const at::Tensor& t : inputs) t.record_stream(state_->side);
}

// Back to the main stream, which does not wait.
void SideStream::leave() {
  if (!state_) return;
  state_->done.record(state_->side);
  state_->guard.reset();
}

// The main stream waits for the side stream.
void SideStream::join(const std::vector<at::Tensor>& outputs) {
  if (!state_) return;
  state_->done.block(state_->main);
  for (const at::Tensor& t : outputs)
    if (t.defined()) t.record_stream(state_->main);
}

}  // namespace hici::device
