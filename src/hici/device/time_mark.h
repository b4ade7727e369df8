// SPDX-License-Identifier: Apache-2.0
// A moment in the work of a device, which the host does not wait for.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <chrono>
#include <optional>

namespace hici::device {

class TimeMark {
 public:
  // Now; on a GPU when the current stream has done what it was given so far.
  explicit TimeMark(at::Device device);

  // On a GPU it waits until this moment has come. Both marks are of one device.
  double seconds_since(const TimeMark& earlier) const;

 private:
  std::chrono::steady_clock::time_point time_;
  std::optional<c10::Event> event_;  // on a GPU
};

}  // namespace hici::device
