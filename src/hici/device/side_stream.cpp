// SPDX-License-Identifier: Apache-2.0
#include "hici/device/side_stream.h"

#include "hici/device/profile.h"
#include "hici/device/streams.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>

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
  return streams.emplace(device.index(), pool_stream(device, /*is_high_priority=*/true)).first->second;
}

}  // namespace

struct SideStream::State {
  c10::Stream main, side;
  c10::Event ready, done;
  std::optional<c10::StreamGuard> guard;

  explicit State(at::Device device)
      : main(current_stream(device)), side(side_stream_of(device)), ready(device.type()), done(device.type()) {
    ready.record(main);
  }
};

SideStream::SideStream(at::Device device) {
  if (!device.is_cpu() && !PartSwitch::is_recording()) state_ = std::make_unique<State>(device);
}

SideStream::~SideStream() = default;

bool SideStream::is_current(at::Device device) {
  return !device.is_cpu() && current_stream(device) == side_stream_of(device);
}

void SideStream::fence(at::Device device) {
  if (device.is_cpu()) return;
  // LibTorch warns of parameters that both streams use, which is intended here.
  at::globalContext().setWarnOnAccumulateGradStreamMismatch(false);
  device::let_wait(side_stream_of(device), current_stream(device));
}

void SideStream::let_wait(const c10::Stream& stream) { device::let_wait(stream, side_stream_of(stream.device())); }

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
