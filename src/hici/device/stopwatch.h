// SPDX-License-Identifier: Apache-2.0
// The time of queued work, which the host does not wait for.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Event.h>

#include <chrono>
#include <optional>

namespace hici::device {

class Stopwatch {
 public:
  explicit Stopwatch(at::Device device) : device_(device) {}

  // On a GPU the time is that of the current stream, between what it was given before start() and before stop().
  void start();
  void stop();
  // Of the last start() and stop(). On a GPU it waits for the work up to stop().
  double seconds() const;

 private:
  at::Device device_;
  std::optional<c10::Event> started_, stopped_;  // of a GPU
  std::chrono::steady_clock::time_point start_, stop_;
};

}  // namespace hici::device
