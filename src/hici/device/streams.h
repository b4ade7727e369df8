// SPDX-License-Identifier: Apache-2.0
// Streams of a device other than a CPU, through LibTorch's device-generic interfaces.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

namespace hici::device {

// That of this thread.
c10::Stream current_stream(at::Device device);
// One of LibTorch's pool.
c10::Stream pool_stream(at::Device device, bool is_high_priority = false);
// `later` waits for all that `earlier` has been given so far. The host does not wait.
void let_wait(const c10::Stream& later, const c10::Stream& earlier);

}  // namespace hici::device
