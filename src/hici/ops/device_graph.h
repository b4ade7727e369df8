// SPDX-License-Identifier: Apache-2.0
// The same small steps again and again: on a GPU recorded once and replayed as one launch (a CUDA graph), on a CPU done
// anew each time.
#pragma once

#include <c10/core/Device.h>

#include <functional>

namespace hici::ops {

class DeviceGraph {
 public:
  // `work` reads and writes tensors that live as long as this, waits for nothing and asks nothing of the device. What
  // it queues must not depend on values, only on shapes. With `records` false it is done anew on a GPU too.
  DeviceGraph(at::Device device, std::function<void()> work, bool records = true);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  // Does the work once, on the device's current stream. The first run on a GPU is not recorded, so that libraries set
  // themselves up outside; the second records and replays.
  void run();
  bool is_recorded() const { return graph_ != nullptr; }

 private:
  at::Device device_;
  std::function<void()> work_;
  bool records_;
  bool has_run_ = false;
  void* graph_ = nullptr;
};

}  // namespace hici::ops
