// SPDX-License-Identifier: Apache-2.0
#include "hici/device/time_mark.h"

#include "hici/device/streams.h"

namespace hici::device {

TimeMark::TimeMark(at::Device device) : time_(std::chrono::steady_clock::now()) {
  if (device.is_cpu()) return;
  event_.emplace(device.type(), c10::EventFlag::BACKEND_DEFAULT);  // the default flag cannot tell times
  event_->record(current_stream(device));
}

double TimeMark::seconds_since(const TimeMark& earlier) const {
  if (!event_) return std::chrono::duration<double>(time_ - earlier.time_).count();
  event_->synchronize();
  return earlier.event_->elapsedTime(*event_) / 1e3;
}

}  // namespace hici::device
