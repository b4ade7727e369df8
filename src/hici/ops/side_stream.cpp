// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/side_stream.h"

#include "hici/ops/profile.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <optional>

namespace hici::ops {
namespace {

// One for each device and thread; high priority, since it is the small work that others wait for.
c10::Stream side_stream_of(at::Device device) {
  thread_local std::map<c10::DeviceIndex, c10::Stream> streams;
  const auto found = streams.find(device.index());
  if (found != streams.end()) return found->second;
  const c10::impl::VirtualGuardImpl impl(device.type());
  return streams.emplace(device.index(), impl.getStreamFromGlobalPool(device, /*isHighPriority=*/true)).first->second;
}

}  // namespace

struct SideStream::State {
  c10::Stream main, side;
  c10::Event done;
  std::optional<c10::StreamGuard> guard;

  explicit State(at::Device device)
      : main(c10::impl::VirtualGuardImpl(device.type()).getStream(device)),
        side(side_stream_of(device)),
        done(device.type()) {}
};

SideStream::SideStream(at::Device device) {
  if (!device.is_cpu() && !PartSwitch::is_recording()) state_ = std::make_unique<State>(device);
}

SideStream::~SideStream() = default;

// record_stream: the allocator must not hand the memory out again before the other stream is done with it.
void SideStream::enter(const std::vector<at::Tensor>& inputs) {
  if (!state_) return;
  c10::Event ready(state_->main.device_type());
  ready.record(state_->main);
  ready.block(state_->side);
  for (const at::Tensor& t : inputs) t.record_stream(state_->side);
  state_->guard.emplace(state_->side);
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

}  // namespace hici::ops
