// SPDX-License-Identifier: Apache-2.0
#include "hici/device/streams.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace hici::device {

c10::Stream current_stream(at::Device device) { return c10::impl::VirtualGuardImpl(device.type()).getStream(device); }

c10::Stream pool_stream(at::Device device, bool is_high_priority) {
  return c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, is_high_priority);
}

void let_wait(const c10::Stream& later, const c10::Stream& earlier) {
  c10::Event done(earlier.device_type());
  done.record(earlier);
  done.block(later);
}

}  // namespace hici::device
